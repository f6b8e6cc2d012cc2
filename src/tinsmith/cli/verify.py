"""tinsmith verify: checks a .tin against its manifest, signature and self-tests."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith import targets
from tinsmith.cli._command import Args, argument, flag, option
from tinsmith.cli._model import KEY
from tinsmith.cli._types import Device, File, Whole
from tinsmith.errors import FormatError, RuntimeFault, SignatureError
from tinsmith.system import progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tinsmith.formats.tin import Tin

HELP = "check a .tin's content and signature, and that this machine computes its bits"
SECTION = "ship"
REFUSED = 1
PARAMETERS = [
    argument("file", "FILE", File(".tin"), help="a .tin"),
    option(
        "--target",
        Device(),
        dest="targets",
        several=True,
        help="also run the self-tests for these devices, emulated",
    ),
    KEY,
    option(
        "--signature", File(".minisig"), needs="--key", help="with --key: the signature (default: FILE.minisig)"
    ),
    option(
        "--min-version",
        Whole(),
        needs="--key",
        help="with --key: refuse an older version, no version, and an expired signature",
    ),
    option(
        "--now", needs="--key", metavar="DATE", help="with --key: today's date for expiry, such as 2027-01-31"
    ),
    flag(
        "--plain",
        needs="--key",
        excludes="--target",
        help="FILE is no .tin: check its whole content against the signature",
    ),
    flag("--json", help="print the results as JSON"),
]


def run(args: Args) -> int:
    """0, or 1 with one line on stderr for a file that is refused."""
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
    """Each check adds its results to the report and prints a line; the first that fails raises."""
    from tinsmith import _core
    from tinsmith.cli.sign import read_day
    from tinsmith.formats import minisign
    from tinsmith.formats.tin import Tin
    from tinsmith.train.adapters import router_tin
    from tinsmith.train.adapters import tin as adapter_tin

    def say(line: str) -> None:
        if not args.json:
            print(line)

    required = minisign.freshness(args.min_version, read_day("--now", args.now))
    tin = None if args.plain else Tin(args.file)
    if args.key is not None:
        report["signature"] = minisign.require(args.file, tin, args.key, args.signature, required)
        say(f"signature by the key's owner: {report['signature']}")
    if tin is None:
        return
    tin.verify()
    report |= {"bytes": tin.image.nbytes, "entries": len(tin.names)}
    report["manifest_sha256"] = hashlib.sha256(tin.entry("manifest.json")).hexdigest()
    say(f"content   {report['entries']} entries, {report['bytes']:,} bytes: match the manifest")
    report["selftest"] = {}
    for isa, digests in _selftests(tin):
        report["selftest"][isa] = digests
        say(f"{isa:<9} {len(digests)} self-tests: same bits as sealed")
    model = _core.Model(tin.image)
    report["adapters"] = adapter_tin.check(tin, model)
    for name, own in report["adapters"].items():
        say(f"adapter   {name}: {len(own)} self-tests: same bits as sealed")
    report["router"] = router_tin.check(tin, model)
    if report["router"]:
        say(f"router    {len(report['router'])} self-tests: same scores as sealed")
    if not args.targets:
        return
    from tinsmith.cross import verify

    *_, expected = report["selftest"].values()
    report["targets"] = {}
    for device in [targets.find(name) for name in args.targets]:
        ran = verify.verify(Path(args.file), device, expected, progress.display())
        report["targets"][device.name] = {one.isa: one.digests for one in ran}
        for one in ran:
            where = f"{device.name} ({verify.how(device)})"
            say(f"{one.isa:<9} {len(one.digests)} self-tests: same bits on {where}")


def _selftests(tin: Tin) -> Iterator[tuple[str, list[str]]]:
    """The digests of the self-test's logits by every instruction set that runs here, slowest first."""
    from tinsmith import _core
    from tinsmith.compiler import selftest

    for isa in _core.isa_names():
        try:
            yield isa, selftest.check(_core.Model(tin.image, isa))
        except RuntimeFault as fault:
            raise RuntimeFault(fault.status, f"{tin.where}: {fault}") from fault
        except FormatError as fault:
            raise FormatError(f"{tin.where}: {fault}") from fault
