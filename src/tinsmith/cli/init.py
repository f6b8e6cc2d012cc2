"""tinsmith init: a new recipe with examples, which runs as it is."""

from __future__ import annotations

import sys
from pathlib import Path

from tinsmith.cli._command import Args, argument, option
from tinsmith.cli._types import Folder, Word, base_names
from tinsmith.errors import InputError

HELP = "write a new recipe with example data, ready to run"
SECTION = "begin"


PARAMETERS = [
    argument(
        "task",
        "TASK",
        Word("tinsmith.prepare.starting:names"),
        required=False,
        help="call, chat, classify or extract (default: asked for on a terminal)",
    ),
    option("--out", Folder(out=True), help="the new folder (default: the task's name)"),
    option("--base", Word(base_names), metavar="MODEL", help="base model (default: smollm2-135m-instruct)"),
]


def run(args: Args) -> int:
    from tinsmith.prepare import starting

    task, out, base = args.task, args.out, args.base
    if task is None:
        if not sys.stdin.isatty():
            raise InputError(f"give a task: one of {', '.join(starting.names())}")
        task = _asked("Task", starting.names()[0], ", ".join(starting.names()))
        out = out or Path(_asked("Folder", task))
        base = base or _asked("Base model", starting.BASE)
    recipe = starting.start(task, Path(out or task), base or starting.BASE)
    print(f"{recipe}\ncheck its data:  tinsmith data check {recipe}\nmake the model:  tinsmith make {recipe}")
    return 0


def _asked(what: str, default: str, choices: str = "") -> str:
    listed = f" ({choices})" if choices else ""
    print(f"{what}{listed} [{default}]: ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip() or default
