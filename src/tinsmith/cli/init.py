"""tinsmith init: a new recipe with examples, which runs as it is."""

from __future__ import annotations

from pathlib import Path

from tinsmith.cli._command import Args, argument, option
from tinsmith.cli._types import Folder, Word, base_names

HELP = "write a new recipe with example data, ready to run"
SECTION = "begin"


PARAMETERS = [
    argument(
        "task",
        "TASK",
        Word("tinsmith.prepare.starting:names"),
        help="call, chat, classify or extract",
    ),
    option("--out", Folder(out=True), help="the new folder (default: the task's name)"),
    option("--base", Word(base_names), metavar="MODEL", help="base model (default: smollm2-135m-instruct)"),
]


def run(args: Args) -> int:
    from tinsmith.prepare import starting

    recipe = starting.start(args.task, args.out or Path(args.task), args.base or starting.BASE)
    print(f"{recipe}\ncheck its data:  tinsmith data check {recipe}\nmake the model:  tinsmith make {recipe}")
    return 0
