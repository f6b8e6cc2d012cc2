"""tinsmith targets: the known devices, or the facts of one."""

from __future__ import annotations

import json
from typing import Any

from tinsmith import targets
from tinsmith.cli._command import Args, argument, flag
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
        print(json.dumps(described, indent=1) if args.json else "\n".join(_lines(described)))
        return 0
    known = [targets.load(name) for name in targets.names()]
    if args.json:
        print(json.dumps([describe(target) for target in known], indent=1))
        return 0
    width = max(len(target.name) for target in known)
    print(f"{'target':<{width}}  {'arch':<8} {'best set':<10} {'cores':>5} {'RAM':>8} {'storage':>8}  device")
    for t in known:
        print(
            f"{t.name:<{width}}  {t.cpu.arch:<8} {t.cpu.isa[-1]:<10} {t.cpu.cores:>5} {_mb(t.memory.ram):>8} "
            f"{_mb(t.memory.storage):>8}  {t.title}"
        )
    return 0


def describe(target: targets.Target) -> dict[str, Any]:
    """A target as JSON values."""
    from dataclasses import asdict

    return {**asdict(target), "path": str(target.path)}


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


def _lines(described: dict[str, Any]) -> list[str]:
    rows = []
    for name, value in described.items():
        if not isinstance(value, dict):
            rows.append((name, value))
            continue
        for key, inner in value.items():
            label = f"{name} {key}" if name == "source" else f"{name}.{key}"
            rows.append((label, inner))
    width = max(len(label) for label, _ in rows)
    return [f"{label:<{width}}  {_text(value)}" for label, value in rows if value not in (None, (), [])]


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    if isinstance(value, dict):
        return " ".join(f"{key} {value[key]:#x}" for key in value)
    return f"{value:,}" if isinstance(value, int) else str(value)
