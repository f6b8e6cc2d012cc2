"""tinsmith docs: checked examples and a recipe, or an adapter, from a folder of documents."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith import hub
from tinsmith.cli._command import Args, argument, flag, grouped, option
from tinsmith.cli._types import File, Folder, Labels, Text, Whole, Word, base_names
from tinsmith.errors import ConstraintError, InputError
from tinsmith.system import progress, reading

if TYPE_CHECKING:
    from tinsmith.prepare.documents.making import Plan
    from tinsmith.prepare.documents.teachers import Teacher

HELP = "write training examples from documents with a teacher model"
SECTION = "begin"
OFF_TOPIC = "The documents do not say."


PARAMETERS = [
    argument("folder", "FOLDER", Folder(), help="text, Markdown, HTML and PDF files, also in subfolders"),
    option(
        "--task",
        Word("tinsmith.prepare.documents.writing:writers"),
        required=True,
        help="call, chat, classify or extract",
    ),
    option("--out", Folder(out=True), help="the new folder (default: <FOLDER>-<TASK>)"),
    option("--base", Word(base_names), metavar="MODEL", help="model to train (default: smollm2-135m-instruct)"),
    option("--length", Whole(200), default=1200, help="characters of a passage"),
    option("--questions", Whole(1), default=4, help="questions about a passage at most"),
    option("--limit", Whole(0), default=0, help="ask about the first N passages (0: all)"),
    option("--seed", Whole(0), default=0, help="of the teacher and the splits"),
    flag(
        "--adapter",
        help="chat, call: also train, by distillation: the base with the passage teaches it without",
    ),
    flag("--json", help="print the result as JSON"),
    *grouped(
        "The teacher",
        option(
            "--teacher",
            File(".gguf", ".tin", names=base_names),
            required=True,
            metavar="MODEL",
            help="a local model, or the URL of an OpenAI-compatible API, such as http://localhost:8080/v1",
        ),
        option("--model", metavar="NAME", help="name of the model at the URL"),
        option("--key-file", File(), help="file with the API key of the URL"),
        option("--threads", Whole(1), help="threads of a local teacher"),
    ),
    *grouped(
        "The task",
        option("--schema", File(".json"), help="extract: a JSON Schema"),
        option("--tools", File(".json"), help="call: tools in OpenAI's format"),
        option("--labels", Labels(), help="classify: a,b,c, or a file of labels"),
        option(
            "--off-topic",
            Text(),
            help=f'answer to off-topic questions, "" for none (default for chat: {OFF_TOPIC})',
        ),
    ),
]


def run(args: Args) -> int:
    from tinsmith.prepare.documents import making

    made = making.make(_plan(args), _teacher(args), progress.display())
    if not args.json:
        print("\n".join(made.lines()))
    adapter = None
    if args.adapter:
        from tinsmith.pipeline import engine
        from tinsmith.pipeline import recipe as recipes

        stated = recipes.load(made.recipe)
        trained = engine.make(stated, None, progress.display(), "train")
        adapter = trained.folder / engine.train_folder(stated)
    if args.json:
        more = {"adapter": str(adapter)} if adapter else {}
        print(json.dumps({"recipe": str(made.recipe), **more, **made.facts}, ensure_ascii=False))
    else:
        print(adapter or f"\n{made.recipe}\nmake the model:  tinsmith make {made.recipe}")
    return 0


def _plan(args: Args) -> Plan:
    from tinsmith.constraint import makers
    from tinsmith.prepare import starting
    from tinsmith.prepare.documents import writing
    from tinsmith.prepare.documents.making import Plan
    from tinsmith.system.files import resolved

    writer, folder = writing.by_name(args.task), args.folder
    terms = writing.Terms(
        questions=args.questions,
        schema=_checked(args.schema, makers.schema, "it is a JSON schema"),
        tools=_checked(args.tools, makers.tools, "it is a list of tools in OpenAI's shape"),
        labels=args.labels or (),
        off_topic=(OFF_TOPIC if args.task == "chat" else "") if args.off_topic is None else args.off_topic,
    )
    writer.check(terms)
    if args.adapter and writer.needs in ("schema", "labels"):
        raise InputError(
            f'--adapter: not for the task "{args.task}", whose inputs are passages; run the recipe instead'
        )
    base = args.base or starting.BASE
    return Plan(
        folder=folder,
        out=args.out or resolved(folder).with_name(f"{resolved(folder).name}-{args.task}"),
        task=args.task,
        terms=terms,
        base=base,
        base_path=hub.pull(base),
        length=args.length,
        seed=args.seed,
        distill=args.adapter,
        limit=args.limit,
    )


def _checked(path: str | None, make: Callable[[Any], object], advice: str) -> Any:
    """Raises ConstraintError, before the teacher is asked, for a constraint that can't be enforced."""
    if path is None:
        return None
    given = reading.read_json(path, unique=True, advice=advice)
    try:
        make(given)
    except ConstraintError as error:
        raise ConstraintError(f"{path}: {error}") from None
    return given


def _teacher(args: Args) -> Teacher:
    from tinsmith.prepare.documents.teachers import Local, Remote

    if args.teacher.startswith(("http://", "https://")):
        from tinsmith.backends.endpoint import Endpoint

        if not args.model:
            raise InputError(f"--teacher {args.teacher}: a URL needs a model; give --model")
        key = None
        if args.key_file is not None:
            key = reading.read_text(args.key_file, most=reading.SMALL).strip()
            if not key:
                raise InputError(f"{args.key_file}: is empty; it must hold the API key")
        return Remote(Endpoint(args.teacher, args.model, key))
    for name in ("model", "key_file"):
        if getattr(args, name) is not None:
            raise InputError(f"--{name.replace('_', '-')} is for a teacher at a URL; leave it out")
    path = Path(args.teacher)
    if path.suffix == ".tin":
        return Local(path, args.threads)
    return Local(hub.pull(args.teacher), args.threads, "" if path.exists() else args.teacher)
