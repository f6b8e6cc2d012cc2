"""tinsmith targets: the known devices, or the facts of one."""

from __future__ import annotations

import json
from typing import Any

from tinsmith import targets
from tinsmith.cli._command import Args, argument, flag
from tinsmith.cli._terminal import mb, table
from tinsmith.cli._types import Device

HELP = "list the devices that models are built for"
SECTION = "ship"
PARAMETERS = [
    argument("name", "NAME", Device(), required=False, help="show all facts of this target, or of a TOML file"),
    flag("--json", help="as JSON"),
]


def run(args: Args) -> int:
    if args.name:
        described = describe(targets.find(args.name))
        print(json.dumps(described, indent=1) if args.json else _lines(described))
        return 0
    known = [targets.load(name) for name in targets.names()]
    if args.json:
        print(json.dumps([describe(target) for target in known], indent=1))
        return 0
    heads = ("target", "arch", "best set", "cores", "RAM", "storage", "device")
    rows = [
        (t.name, t.cpu.arch, t.cpu.isa[-1], str(t.cpu.cores), mb(t.memory.ram), mb(t.memory.storage), t.title)
        for t in known
    ]
    print(table([heads, *rows], right={3, 4, 5}))
    return 0


def describe(target: targets.Target) -> dict[str, Any]:
    """A target as JSON values."""
    from dataclasses import asdict

    return {**asdict(target), "path": str(target.path)}


def _lines(described: dict[str, Any]) -> str:
    rows = []
    for name, value in described.items():
        inner = value if isinstance(value, dict) else {"": value}
        for key, one in inner.items():
            if one not in (None, (), []):
                rows.append((f"{name}{' ' if name == 'source' else '.'}{key}" if key else name, _text(one)))
    return table(rows)


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    if isinstance(value, dict):
        return " ".join(f"{key} {value[key]:#x}" for key in value)
    return f"{value:,}" if isinstance(value, int) else str(value)
