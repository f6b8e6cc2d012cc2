"""Where a changed .tin goes, for the verbs that change one."""

from __future__ import annotations

import sys
from pathlib import Path

from tinsmith.cli._command import Args, argument, option
from tinsmith.cli._types import File

FILE = argument("file", "FILE", File(".tin"), help="a .tin")
OUT = option(
    "--out",
    File(".tin", out=True, rewrites="file"),
    metavar="OUT",
    help="the new file (default: in place of FILE)",
)


def out_of(args: Args) -> Path:
    return Path(args.out or args.file)


def done(out: Path) -> int:
    """Says where the file is, and that a signature beside it is of another one."""
    from tinsmith.formats.minisign import SUFFIX

    if Path(f"{out}{SUFFIX}").exists():
        print(f"{out}{SUFFIX} is of the file as it was; sign it again: tinsmith sign {out}", file=sys.stderr)
    print(out)
    return 0
