"""tinsmith adapters rename: another name for one of a .tin's adapters."""

from __future__ import annotations

from tinsmith.cli._command import Args, argument
from tinsmith.cli.adapters._out import FILE, OUT, done, out_of

HELP = "give an adapter in a .tin another name"
PARAMETERS = [
    FILE,
    argument("old", "OLD", help="its name"),
    argument("new", "NEW", help="its new name"),
    OUT,
]


def run(args: Args) -> int:
    from tinsmith.train.adapters import tin as adapter_tin

    out = out_of(args)
    adapter_tin.rename(args.file, args.old, args.new, out)
    return done(out)
