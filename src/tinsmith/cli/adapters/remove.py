"""tinsmith adapters remove: a .tin without one of its adapters."""

from __future__ import annotations

from tinsmith.cli._command import Args, argument
from tinsmith.cli.adapters._out import FILE, OUT, done, out_of

HELP = "take an adapter out of a .tin"
PARAMETERS = [FILE, argument("name", "NAME", help="of the adapter"), OUT]


def run(args: Args) -> int:
    from tinsmith.train.adapters import tin as adapter_tin

    out = out_of(args)
    adapter_tin.remove(args.file, args.name, out)
    return done(out)
