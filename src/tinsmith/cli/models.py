"""tinsmith models: the catalog of base models, and which fit a device."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tinsmith.cli._command import Args, flag, option
from tinsmith.cli._terminal import mb, table
from tinsmith.cli._types import Device
from tinsmith.errors import TinsmithError

if TYPE_CHECKING:
    from tinsmith.hub import Entry
    from tinsmith.targets import Target

HELP = "list the base models in the catalog, and which fit a device"
SECTION = "begin"
PARAMETERS = [
    option("--target", Device(), help="show which fit this device in its default format"),
    flag("--json", help="as JSON"),
]


@dataclass(frozen=True)
class Room:
    """A base in a target's default format. storage, ram: bytes with a session of the target's default context;
    a lower bound unless `exact`. fits: None if the weights fit and the rest is unknown. error: of planning a
    model on this disk."""

    format: str
    exact: bool
    storage: int
    ram: int
    fits: bool | None
    error: str | None = None


def run(args: Args) -> int:
    from tinsmith import hub, targets

    target = targets.find(args.target) if args.target else None
    found = []
    for entry in hub.catalog().values():
        path = hub.here(entry)
        found.append((entry, path, _room(entry, path, target) if target else None))
    if args.json:
        listed = [
            {**asdict(entry), "path": str(path) if path else None, "room": asdict(room) if room else None}
            for entry, path, room in found
        ]
        for one in listed:
            del one["wheel"]
        print(json.dumps(listed, indent=1))
        return 0
    room = found[0][2]
    fits = (f"{room.format} file", "RAM", "fits") if room else ()
    rows = [("name", "size", "licence", "here", *fits, "good for")]
    for entry, path, room in found:
        size, here = _size(entry.parameters), "yes" if path else ""
        rows.append((entry.name, size, entry.license, here, *_cells(room), entry.good_for))
    print(table(rows, right={1, 4, 5} if fits else {1}))
    for entry, _, room in found:
        if room and room.error:
            print(f"\n{entry.name}: no plan: {room.error}")
    if target:
        print(
            f"\n{target.name} stores {mb(target.memory.storage)}, a model may use {mb(target.memory.ram)} of "
            "RAM. ≥: weights alone; after `tinsmith pull`, `tinsmith plan` gives all memory and the speed."
        )
    return 0


def _room(entry: Entry, path: Path | None, target: Target) -> Room:
    """Planned exactly for a model on this disk, at `path`; by its weights for another."""
    from tinsmith import plan
    from tinsmith.formats.weights import weight_format
    from tinsmith.plan import contents
    from tinsmith.quant.presets import PRESETS

    format, limits, error = target.defaults.format, target.memory, None
    if path is not None:
        try:
            made = contents.of(path, format)
            memory = plan.memory_of(made, target, plan.Options(context=plan.context_of(made, target)))
            return Room(format, True, memory.file, memory.ram, memory.fits(limits))
        except TinsmithError as fault:
            error = str(fault)
    kind = weight_format(PRESETS[format].matrices)
    size = entry.parameters * kind.bytes // kind.block
    ram = 0 if limits.flash_bandwidth is not None else size
    too_large = size > limits.storage or ram > limits.ram
    return Room(format, False, size, ram, False if too_large else None, error)


def _size(parameters: int) -> str:
    return f"{parameters / 1e9:.2g} B" if parameters >= 1e9 else f"{parameters / 1e6:.0f} M"


def _cells(room: Room | None) -> tuple[str, ...]:
    if room is None:
        return ()
    least = "" if room.exact else "≥ "
    fits = {True: "yes", False: "no", None: "perhaps"}[room.fits]
    return least + mb(room.storage), least + mb(room.ram), fits
