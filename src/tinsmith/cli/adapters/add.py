"""tinsmith adapters add: one more adapter in a .tin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinsmith.cli import _constrained
from tinsmith.cli._command import Args, argument, option
from tinsmith.cli._types import Folder, Word
from tinsmith.cli.adapters._out import FILE, OUT, done, out_of

if TYPE_CHECKING:
    from tinsmith.quant.shipping import Extra

HELP = "seal an adapter into a .tin, under a name"
PARAMETERS = [
    FILE,
    argument("name", "NAME", help="what it is asked for by"),
    argument(
        "source",
        "ADAPTER",
        Folder(),
        help="a folder in peft's format or of a prefix, a GGUF adapter, or a file of export --native",
    ),
    option(
        "--format",
        Word(("q8_0", "f16")),
        default="q8_0",
        metavar="F",
        help="what the factors are rounded to: q8_0 (default) or f16",
    ),
    *_constrained.options("its"),
    option("--license", metavar="L", help="of the adapter: an SPDX name, for the manifest and the SBOM"),
    OUT,
]


def run(args: Args) -> int:
    from tinsmith.train.adapters import tin as adapter_tin

    out = out_of(args)
    adapter_tin.add(args.file, args.name, args.source, out, args.format.upper(), _extra(args))
    return done(out)


def _extra(args: Args) -> Extra:
    from tinsmith.quant.shipping import Extra

    held = _constrained.sealed(args)
    facts = {"constraint": held.facts} if held else {}
    return Extra(held.entries if held else {}, facts | ({"license": args.license} if args.license else {}))
