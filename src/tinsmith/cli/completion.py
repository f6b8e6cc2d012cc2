"""tinsmith completion: how a shell learns tinsmith's words."""

from __future__ import annotations

from tinsmith.cli._command import Args, argument
from tinsmith.cli._types import Word
from tinsmith.errors import InputError

HELP = "print the script by which a shell completes verbs, options, files and targets"
SECTION = "begin"
SHELLS = ("bash", "zsh", "fish")
PARAMETERS = [argument("shell", "SHELL", Word(SHELLS), help="bash, zsh or fish")]


def run(args: Args) -> int:
    if args.shell not in SHELLS:
        raise InputError(f"{args.shell}: no such shell here; there are {', '.join(SHELLS)}")
    from tinsmith.cli import _shells

    print(_shells.script(args.shell), end="")
    return 0
