"""tinsmith docs: a folder of documents to checked examples and a recipe, or to an adapter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith.cli._command import Args, argument, flag, option
from tinsmith.cli._types import File, Folder, Labels, Text, Whole, Word, base_names
from tinsmith.errors import InputError

if TYPE_CHECKING:
    from tinsmith.prepare.documents.making import Plan
    from tinsmith.prepare.documents.teachers import Teacher

HELP = "write checked examples of the documents in a folder: a teacher asks and answers"
SECTION = "begin"
TASK = "What the task needs"
TEACHER = "The teacher"
OFF_TOPIC = "The documents do not say."


def written_tasks() -> tuple[str, ...]:
    from tinsmith.prepare.documents.writing import writers

    return tuple(sorted(writers()))


PARAMETERS = [
    argument("folder", "FOLDER", Folder(), help="text, Markdown, HTML and PDF, in folders too"),
    option("--task", Word(written_tasks), required=True, metavar="T", help="call, chat, classify or extract"),
    option(
        "--teacher",
        File(".gguf", ".tin", names=base_names),
        required=True,
        group=TEACHER,
        metavar="MODEL",
        help="a model that runs here, or the address of an OpenAI-compatible API, such as http://localhost:8080/v1",
    ),
    option("--model", group=TEACHER, metavar="NAME", help="what the address calls its model"),
    option("--key-file", File(), group=TEACHER, metavar="F", help="a file that holds the address's key"),
    option("--threads", Whole(1), group=TEACHER, metavar="N", help="threads of a teacher that runs here"),
    option("--schema", File(".json"), group=TASK, metavar="S", help="extract: a JSON schema"),
    option("--tools", File(".json"), group=TASK, metavar="S", help="call: tools in OpenAI's shape"),
    option("--labels", Labels(), group=TASK, metavar="L", help="classify: a,b,c, or a file of them"),
    option(
        "--off-topic",
        Text(),
        group=TASK,
        metavar="TEXT",
        help='the answer to what is in no document, "" for none (default for chat: The documents do not say.)',
    ),
    option("--out", Folder(out=True), metavar="DIR", help="the new folder (default: <FOLDER>-<TASK>)"),
    option(
        "--base",
        Word(base_names),
        metavar="MODEL",
        help="the model to be trained (default: smollm2-135m-instruct)",
    ),
    option("--length", Whole(200), default=1200, metavar="N", help="characters of a passage (default: 1200)"),
    option("--questions", Whole(1), default=4, metavar="N", help="of a passage, at most (default: 4)"),
    option("--limit", Whole(0), default=0, metavar="N", help="ask about the first N passages (default: all)"),
    option("--seed", Whole(0), default=0, metavar="N", help="of the teacher and the splits (default: 0)"),
    flag(
        "--adapter",
        help="chat, call: train too: the base with the passage in its prompt teaches the base without it",
    ),
    flag("--json", help="print what was made as JSON"),
]


def run(args: Args) -> int:
    from tinsmith.prepare.documents import making
    from tinsmith.system import progress

    made = making.make(_plan(args), _teacher(args), progress.display())
    if not args.json:
        print("\n".join(made.lines()))
    adapter = _train(made.recipe) if args.adapter else None
    if args.json:
        trained = {"adapter": str(adapter)} if adapter else {}
        print(json.dumps({"recipe": str(made.recipe), **trained, **made.facts}, ensure_ascii=False))
    else:
        print(adapter or f"\n{made.recipe}\nmake the model:  tinsmith make {made.recipe}")
    return 0


def _train(recipe: Path) -> Path:
    """The adapter's folder."""
    from tinsmith.pipeline import engine
    from tinsmith.pipeline import recipe as recipes
    from tinsmith.system import progress

    stated = recipes.load(recipe)
    run = engine.make(stated, None, progress.display(), "train")
    return run.folder / engine.train_folder(stated)


def _plan(args: Args) -> Plan:
    from tinsmith import hub
    from tinsmith.prepare import starting
    from tinsmith.prepare.documents import writing
    from tinsmith.prepare.documents.making import Plan
    from tinsmith.system.files import resolved

    writer, folder = writing.by_name(args.task), args.folder
    terms = writing.Terms(
        questions=args.questions,
        schema=_schema(args.schema) if args.schema else None,
        tools=_tools(args.tools) if args.tools else None,
        labels=args.labels or (),
        off_topic=(OFF_TOPIC if args.task == "chat" else "") if args.off_topic is None else args.off_topic,
    )
    writer.check(terms)
    if args.adapter and writer.needs in ("schema", "labels"):
        raise InputError(
            f'--adapter: inputs of the task "{args.task}" are passages; leave it out, and make the recipe'
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


def _schema(path: str) -> dict[str, Any]:
    """Refused before anything is asked where it can't be enforced."""
    from tinsmith.constraint import makers
    from tinsmith.errors import ConstraintError
    from tinsmith.system import reading

    schema = reading.read_table(path, unique=True, advice="it is a JSON schema")
    try:
        makers.schema(schema)
    except ConstraintError as error:
        raise ConstraintError(f"{path}: {error}") from None
    return schema


def _tools(path: str) -> list[dict[str, Any]]:
    from tinsmith.constraint import makers
    from tinsmith.errors import ConstraintError
    from tinsmith.system import reading

    tools = reading.read_json(path, unique=True, advice="it is a list of tools in OpenAI's shape")
    try:
        makers.tools(tools)
    except ConstraintError as error:
        raise ConstraintError(f"{path}: {error}") from None
    return list(tools)


def _teacher(args: Args) -> Teacher:
    from tinsmith.prepare.documents.teachers import Local, Remote

    if args.teacher.startswith(("http://", "https://")):
        from tinsmith.backends.endpoint import Endpoint
        from tinsmith.system import reading

        if not args.model:
            raise InputError(f"--teacher {args.teacher}: name its model by --model")
        key = None
        if args.key_file is not None:
            key = reading.read_text(args.key_file, most=reading.SMALL).strip()
            if not key:
                raise InputError(f"{args.key_file}: holds no key")
        return Remote(Endpoint(args.teacher, args.model, key))
    for name in ("model", "key_file"):
        if getattr(args, name) is not None:
            raise InputError(f"--{name.replace('_', '-')} is for an address; leave it out")
    from tinsmith import hub

    path = Path(args.teacher)
    if path.suffix == ".tin":
        return Local(path, args.threads)
    return Local(hub.pull(args.teacher), args.threads, "" if path.exists() else args.teacher)
