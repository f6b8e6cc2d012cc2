"""tinsmith diff: the answers that two models give differently."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tinsmith.cli import _model
from tinsmith.cli._command import Args, argument, flag, option
from tinsmith.cli._terminal import shown
from tinsmith.cli._types import File, Kind, Text, Whole, Word, tasks, valid
from tinsmith.errors import InputError

if TYPE_CHECKING:
    from tinsmith.data.readers import Example
    from tinsmith.tasks import Task

HELP = "list the answers that differ between two models, formats or adapters"
SECTION = "measure"
MODEL = File(".tin", ".gguf")


def _share(text: str) -> float:
    """A percentage, or a fraction."""
    share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    return valid(share, 0 <= share <= 1)


SHARE = Kind(allowed="a share such as 0.5% or 0.005", read=_share)
PARAMETERS = [
    argument("before", "A", MODEL, help="a .tin, a .gguf or a Hugging Face folder"),
    argument("after", "B", MODEL, help="as A; may be the same file, with another --adapter-b"),
    argument("examples", "EXAMPLES", File(".jsonl"), help='lines of {"input": …}, with an "output" if known'),
    option(
        "--adapter-a", multiple=True, metavar="NAME[:SCALE]", help="adapter of A, as run --adapter; repeatable"
    ),
    option("--adapter-b", multiple=True, metavar="NAME[:SCALE]", help="the same, of B"),
    option("--task", Word(tasks), default="call", help="how answers are graded"),
    option("--system", Text(), default="", help="system message (default: the trained one)"),
    option("--max-tokens", Whole(), default=256, help="tokens of an answer at most"),
    _model.THREADS,
    flag("--unconstrained", help="unconstrained, whatever A and B say"),
    option("--allow", SHARE, default=0.0, help="exit with 1 if a larger share of the answers changed"),
    flag("--json", help="print counts, metrics and changes as JSON"),
    option("--page", File(".html", out=True), help="also write an HTML page (extra: eval)"),
]


def run(args: Args) -> int:
    from tinsmith.evaluate import difference, page
    from tinsmith.system.files import write_text
    from tinsmith.tasks import by_name

    if args.page:
        page.environment()  # without jinja2, before the models answer
    task, cases = by_name(args.task), difference.read_cases(args.examples)
    first = _answers(args, args.before, args.adapter_a, task, cases)
    second = _answers(args, args.after, args.adapter_b, task, cases)
    found = difference.compare(cases, first, second, task)
    names = _called(args.before, args.adapter_a), _called(args.after, args.adapter_b)
    if args.page:
        write_text(Path(args.page), difference.html(found, names))
    if args.json:
        print(json.dumps({"a": names[0], "b": names[1], **found.as_json()}, ensure_ascii=False))
    else:
        for line in difference.lines(found, shown):
            print(line)
    return int(found.share > args.allow)


def _called(file: str, adapters: list[str]) -> str:
    return " + ".join([str(file), *adapters])


def _answers(args: Args, file: str, adapters: list[str], task: Task, cases: list[Example]) -> list[str]:
    from tinsmith.evaluate import difference
    from tinsmith.runtime import load

    model = load(file, threads=args.threads)
    chosen = _model.adapters(model, adapters)
    if not model.skill_of(chosen).can_chat:
        raise InputError(f"{file}: has no chat template, which diff asks with")
    options = {"adapter": chosen, "max_tokens": args.max_tokens}
    if args.unconstrained:
        options["constraint"] = None
    return difference.answers(model, cases, task, args.system, **options)
