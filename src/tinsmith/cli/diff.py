"""tinsmith diff: which answers two models give differently."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tinsmith.cli import _model
from tinsmith.cli._command import Args, argument, flag, option
from tinsmith.cli._terminal import shown
from tinsmith.cli._types import File, Kind, Text, Whole, Word, tasks
from tinsmith.errors import InputError

if TYPE_CHECKING:
    from tinsmith.evaluate.difference import Case
    from tinsmith.tasks import Task

HELP = "which answers changed from one model, format or adapter to another"
SECTION = "measure"
MODEL = File(".tin", ".gguf")


class Share(Kind):
    """A percentage, or a fraction."""

    allowed = "a share such as 0.5% or 0.005"

    def read(self, text: str) -> float:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        if not 0 <= share <= 1:
            raise ValueError
        return share


PARAMETERS = [
    argument("before", "A", MODEL, help="a .tin, a .gguf or a Hugging Face folder"),
    argument("after", "B", MODEL, help="as A; the same file with another --adapter-b will do"),
    argument(
        "examples",
        "EXAMPLES",
        File(".jsonl"),
        help='what is asked: lines of {"input": …}, with "output" where what is right is known',
    ),
    option(
        "--adapter-a",
        multiple=True,
        metavar="NAME[:SCALE]",
        help="of A: an adapter in it, a folder in peft's format or a file of export --native; repeatable",
    ),
    option("--adapter-b", multiple=True, metavar="NAME[:SCALE]", help="of B"),
    option("--task", Word(tasks), default="call", metavar="T", help="how answers are graded (default: call)"),
    option(
        "--system",
        Text(),
        default="",
        metavar="T",
        help="system message (default: the one it was trained with)",
    ),
    option("--max-tokens", Whole(), default=256, metavar="N", help="of an answer, at most (default: 256)"),
    option("--threads", Whole(), metavar="N", help="threads that work on one step (default: the cores)"),
    flag("--free", help="anything, whatever A and B say of their answers"),
    option(
        "--allow",
        Share(),
        default=0.0,
        metavar="P",
        help="exit with 0 where at most this share changed, else with 1 (default: 0%)",
    ),
    flag("--json", help="print counts, metrics and changes as JSON"),
    option("--page", File(".html", out=True), metavar="OUT", help="write them as an HTML page too"),
]


def run(args: Args) -> int:
    from tinsmith.evaluate import difference
    from tinsmith.system.files import write_text
    from tinsmith.tasks import by_name

    task, cases = by_name(args.task), difference.read_cases(args.examples)
    first = _answers(args, args.before, args.adapter_a, task, cases)
    second = _answers(args, args.after, args.adapter_b, task, cases)
    found = difference.compare(cases, first, second, task)
    names = _called(args.before, args.adapter_a), _called(args.after, args.adapter_b)
    if args.page:
        write_text(Path(args.page), difference.page(found, names))
    if args.json:
        print(json.dumps({"a": names[0], "b": names[1], **found.as_json()}, ensure_ascii=False))
    else:
        for line in difference.lines(found, shown):
            print(line)
    return int(found.share > args.allow)


def _called(file: str, adapters: list[str]) -> str:
    return " + ".join([str(file), *adapters])


def _answers(args: Args, file: str, adapters: list[str], task: Task, cases: list[Case]) -> list[str]:
    from tinsmith.evaluate import difference
    from tinsmith.runtime import load

    model = load(file, threads=args.threads)
    chosen = _model.adapters(model, adapters)
    if not model.skill_of(chosen).can_chat:
        raise InputError(f"{file}: has no chat template, and answers are compared of a chat")
    options = {"adapter": chosen, "max_tokens": args.max_tokens}
    if args.free:
        options["constraint"] = None
    return difference.answers(model, cases, task, args.system, **options)
