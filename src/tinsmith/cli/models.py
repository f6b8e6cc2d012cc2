"""tinsmith models: the catalog of base models, and which fit a device."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tinsmith.cli._command import Args, flag, option
from tinsmith.cli._terminal import mb, table
from tinsmith.cli._types import Device

if TYPE_CHECKING:
    from tinsmith.hub import Entry
    from tinsmith.plan.bases import Room

HELP = "list the base models in the catalog, and which fit a device"
SECTION = "begin"
PARAMETERS = [
    option("--target", Device(), help="show which fit this device in its default format"),
    flag("--json", help="as JSON"),
]


def run(args: Args) -> int:
    from tinsmith import hub, targets
    from tinsmith.plan import bases

    target = targets.find(args.target) if args.target else None
    found = []
    for entry in hub.catalog().values():
        path = hub.here(entry)
        found.append((entry, path, bases.room(entry, path, target) if target else None))
    if args.json:
        print(json.dumps([_described(*one) for one in found], indent=1))
        return 0
    room = found[0][2]
    fits = (f"{room.format} file", "RAM", "fits") if room else ()
    rows = [("name", "size", "licence", "here", *fits, "good for")]
    for entry, path, room in found:
        size, here = _size(entry.parameters), "yes" if path else ""
        rows.append((entry.name, size, entry.license, here, *_room(room), entry.good_for))
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


def _described(entry: Entry, path: Any, room: Room | None) -> dict[str, Any]:
    from dataclasses import asdict

    fields = asdict(entry)
    del fields["wheel"]
    return {**fields, "path": str(path) if path else None, "room": asdict(room) if room else None}


def _size(parameters: int) -> str:
    return f"{parameters / 1e9:.2g} B" if parameters >= 1e9 else f"{parameters / 1e6:.0f} M"


def _room(room: Room | None) -> tuple[str, ...]:
    if room is None:
        return ()
    least = "" if room.exact else "≥ "
    fits = {True: "yes", False: "no", None: "perhaps"}[room.fits]
    return least + mb(room.storage), least + mb(room.ram), fits
