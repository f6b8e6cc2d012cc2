"""`tinsmith adapters FILE`: lists the adapters in a .tin, or adds, removes or renames one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith.cli import _constrained
from tinsmith.cli._command import Args, argument, flag, grouped, one_of, option
from tinsmith.cli._terminal import table
from tinsmith.cli._types import File, Folder, Kind, Word

if TYPE_CHECKING:
    from tinsmith.quant.shipping import Extra

HELP = "list the adapters in a .tin, or add, remove or rename one"
SECTION = "build"
PARAMETERS = [
    argument("file", "FILE", File(".tin"), help="a .tin"),
    *one_of(
        option(
            "--add", needs="--from", metavar="NAME", help="seal the adapter of --from into FILE under this name"
        ),
        option("--remove", metavar="NAME", help="remove an adapter"),
        option("--rename", Kind(), nargs=2, metavar="OLD NEW", help="rename an adapter"),
        flag("--json", help="print the list as JSON, with all that the manifest says of each adapter"),
    ),
    option(
        "--out",
        File(".tin", out=True, rewrites="file"),
        needs="--add|--remove|--rename",
        help="the new file (default: FILE itself is replaced)",
    ),
    *grouped(
        "With --add",
        option(
            "--from",
            Folder(),
            dest="source",
            help="a folder in peft's format or of a prefix, a GGUF adapter, or a file of export --native",
        ),
        option("--format", Word(("q8_0", "f16")), help="format of the factors: q8_0 (default) or f16"),
        *_constrained.options("the adapter's"),
        option("--license", help="SPDX name, for the manifest and the SBOM"),
        needs="--add",
    ),
]


def run(args: Args) -> int:
    from tinsmith.train.adapters import tin as adapter_tin

    changes = args.add or args.remove or args.rename
    out = Path(args.out or args.file)
    if args.add:
        adapter_tin.add(args.file, args.add, args.source, out, (args.format or "q8_0").upper(), _extra(args))
    elif args.remove:
        adapter_tin.remove(args.file, args.remove, out)
    elif args.rename:
        old, new = args.rename
        adapter_tin.rename(args.file, old, new, out)
    if changes:
        _warn_of_signature(out)
        print(out)
        return 0
    known = adapter_tin.listed(args.file)
    if args.json:
        print(json.dumps(known, indent=1))
    elif known:
        print(table([(name, _line(facts)) for name, facts in known.items()]))
    return 0


def _extra(args: Args) -> Extra:
    from tinsmith.quant.shipping import Extra

    constraint = _constrained.sealed(args)
    facts: dict[str, Any] = {"license": args.license} if args.license else {}
    if constraint is None:
        return Extra({}, facts)
    return Extra(constraint.entries, {"constraint": constraint.facts, **facts})


def _warn_of_signature(out: Path) -> None:
    """A signature beside a changed file no longer matches."""
    from tinsmith.formats.minisign import SUFFIX

    if Path(f"{out}{SUFFIX}").exists():
        print(f"{out}{SUFFIX} signs the file as it was; sign it again: tinsmith sign {out}", file=sys.stderr)


def _line(facts: dict[str, Any]) -> str:
    size = f"{facts.get('factor_bytes')} bytes"
    if facts.get("prefix"):
        return f"a prefix of {facts['prefix']} tokens, {size}"
    return f"{facts.get('matrices')} matrices, {size}, {facts.get('rank')} of a session's adapter_rank"
