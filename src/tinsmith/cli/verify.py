"""tinsmith verify: is this the file that was sealed, and does this machine compute its bits?"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith.cli._command import Args, argument, flag, option
from tinsmith.cli._model import KEY
from tinsmith.cli._types import Device, File, Whole
from tinsmith.errors import FormatError, InputError, RuntimeFault, SignatureError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinsmith.formats.minisign import Freshness
    from tinsmith.formats.tin import Tin

HELP = "prove that a .tin is as it was sealed, and that this machine computes its bits"
SECTION = "ship"
REFUSED = 1
PARAMETERS = [
    argument("file", "FILE", File(".tin"), help="a .tin"),
    option(
        "--target",
        Device(),
        dest="targets",
        several=True,
        metavar="T",
        help="devices whose code shall compute these bits too, here, under an emulator",
    ),
    KEY,
    option(
        "--signature",
        File(".minisig"),
        metavar="F",
        help="the signature's file, with --key (default: FILE.minisig)",
    ),
    option(
        "--min-version",
        Whole(),
        closed=True,
        metavar="N",
        help="with --key: refuse a signature of an older version, of none, or whose not-after is over",
    ),
    option(
        "--now",
        closed=True,
        metavar="DATE",
        help="the day that not-after is held to, as 2027-01-31 (default: today)",
    ),
    flag("--plain", help="FILE is no .tin: hold all of it to its signature"),
    flag("--json", help="what was checked, as JSON"),
]


def run(args: Args) -> int:
    """0 when everything holds, 1 with one line on stderr when something does not."""
    report: dict[str, Any] = {"file": args.file, "ok": False}
    try:
        _check(args, report)
    except (FormatError, SignatureError, RuntimeFault) as fault:
        report["error"] = " ".join(str(fault).split())
        print(f"tinsmith: refused: {report['error']}", file=sys.stderr)
    else:
        report["ok"] = True
    if args.json:
        print(json.dumps(report, indent=1))
    elif report["ok"]:
        print("verified")
    return 0 if report["ok"] else REFUSED


def _check(args: Args, report: dict[str, Any]) -> None:
    """Each check adds what it found, and prints its line; the first that fails raises."""
    from tinsmith.formats import minisign
    from tinsmith.formats.tin import Tin

    def say(line: str) -> None:
        if not args.json:
            print(line)

    if args.signature is not None and args.key is None:
        raise InputError(f"--signature {args.signature}: give --key too, the public key that it is held to")
    asked = _asked(args)
    if args.plain:
        if args.key is None or args.targets:
            raise InputError("--plain needs --key, the public key that FILE is held to, and takes no --target")
        report["signature"] = minisign.require_plain(args.file, args.key, args.signature, asked)
        return say(f"signature by the key's owner: {report['signature']}")
    tin = Tin(args.file)
    if args.key is not None:
        report["signature"] = minisign.require(args.file, tin, args.key, args.signature, asked)
        say(f"signature by the key's owner: {report['signature']}")
    report |= _content(tin)
    say(f"content   {report['entries']} entries, {report['bytes']:,} bytes: as the manifest has them")
    report["selftest"] = {}
    for isa, digests in _selftests(tin):
        report["selftest"][isa] = digests
        say(f"{isa:<9} {len(digests)} self-tests: the bits that it was sealed with")
    report["adapters"] = _adapters(tin)
    for name, digests in report["adapters"].items():
        say(f"adapter   {name}: {len(digests)} self-tests: the bits that it was sealed with")
    report["router"] = _router(tin)
    if report["router"]:
        say(f"router    {len(report['router'])} self-tests: the scores that it was sealed with")
    if args.targets:
        _check_targets(args, report, say)


def _asked(args: Args) -> Freshness:
    from tinsmith.cli.sign import read_day
    from tinsmith.formats import minisign

    if (args.min_version is not None or args.now is not None) and args.key is None:
        raise InputError("--min-version and --now are asked of a signature; give --key, whose it must be")
    return minisign.freshness(args.min_version, read_day("--now", args.now))


def _check_targets(args: Args, report: dict[str, Any], say: Callable[[str], None]) -> None:
    from tinsmith import targets
    from tinsmith.cross import verify
    from tinsmith.system import progress

    devices = [targets.find(name) for name in args.targets]
    expected = list(report["selftest"].values())[-1]
    report["targets"] = {}
    for device in devices:
        ran = verify.verify(Path(args.file), device, expected, progress.display())
        report["targets"][device.name] = {one.isa: one.digests for one in ran}
        for one in ran:
            say(f"{one.isa:<9} {len(one.digests)} self-tests: the same on {device.name} ({verify.how(device)})")


def _content(tin: Tin) -> dict[str, Any]:
    import hashlib

    tin.verify()
    manifest = tin.entry("manifest.json")
    return {
        "bytes": tin.bytes,
        "entries": len(tin.names),
        "manifest_sha256": hashlib.sha256(manifest).hexdigest(),
    }


def _adapters(tin: Tin) -> dict[str, list[str]]:
    """By adapter, the digests of the self-test's logits under it, by the best instruction set."""
    from tinsmith import _core
    from tinsmith.train.adapters import tin as adapter_tin

    return adapter_tin.check(tin, _core.Model(tin.image))


def _router(tin: Tin) -> list[str]:
    """The digests of the router's scores for the self-test's prompts."""
    from tinsmith import _core
    from tinsmith.train.adapters import router_tin

    return router_tin.check(tin, _core.Model(tin.image))


def _selftests(tin: Tin) -> list[tuple[str, list[str]]]:
    """The digests of the self-test's logits by every instruction set that runs here, slowest first."""
    from tinsmith import _core
    from tinsmith.compiler import selftest

    results = []
    for isa in _core.isa_names():
        try:
            results.append((isa, selftest.check(_core.Model(tin.image, isa))))
        except RuntimeFault as fault:
            raise RuntimeFault(fault.status, f"{tin.where}: {fault}") from fault
        except FormatError as fault:
            raise FormatError(f"{tin.where}: {fault}") from fault
    return results
