"""What a disk may hold after the power fails: what was synced, and of the rest any part, in any order.

The operations are those that disk.c wrote down. A file's sync puts its data on disk, a folder's the names in
it; everything else may be there or not. That is less than any file system promises.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

MOST = 300  # states that are tried of what may be left at one moment


@dataclass
class Operation:
    kind: str
    path: str
    at: int
    data: bytes


@dataclass
class Disk:
    """files: data by number; names: numbers by path; lost: folders whose making is not on disk."""

    files: dict[int, bytearray] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)

    def content(self, path: Path) -> bytes | None:
        number = self.names.get(str(path))
        if self.lost & {str(parent) for parent in path.parents}:
            return None
        return None if number is None else bytes(self.files.get(number, b""))


def read_log(path: Path) -> list[Operation]:
    calls = []
    for line in path.read_text().splitlines():
        kind, name, at, data = line.split("\t")
        calls.append(Operation(kind, name, int(at), bytes.fromhex(data)))
    return calls


def after_power_loss(before: Disk, done: list[Operation], seed: int = 0) -> Iterator[Disk]:
    """Disks as they may be when the power fails right after these operations."""
    live = dict(before.names)
    steps: list[tuple[str, int, int, bytes, str]] = []  # kind, number, place, data, name
    forced: set[int] = set()
    fresh = max(before.files, default=0)
    for one in done:
        if one.kind == "make":
            fresh += 1
            live[one.path] = fresh
            steps.append(("name", fresh, 0, b"", one.path))
        elif one.kind == "folder":
            steps.append(("folder", 0, 0, b"", one.path))
        elif one.kind in ("write", "cut"):
            steps.append((one.kind, live[one.path], one.at, one.data, ""))
        elif one.kind == "rename":
            number = live.pop(one.path, 0)
            live[one.data.decode()] = number
            steps.append(("move", number, 0, one.path.encode(), one.data.decode()))
        elif one.path in live:
            forced |= {
                k for k, step in enumerate(steps) if step[1] == live[one.path] and step[0] in ("write", "cut")
            }
        else:  # a folder
            named = ("name", "move", "folder")
            forced |= {k for k, s in enumerate(steps) if s[0] in named and str(Path(s[4]).parent) == one.path}
    free = [k for k in range(len(steps)) if k not in forced]
    rng = random.Random(seed)
    all_of_them = len(free) <= 8
    for choice in range(1 << len(free) if all_of_them else MOST):
        if all_of_them:
            kept = {k for bit, k in enumerate(free) if choice >> bit & 1}
        else:
            share = rng.random()
            kept = {k for k in free if rng.random() < share}
        yield _made(before, steps, forced | kept)


def _made(before: Disk, steps: list[tuple[str, int, int, bytes, str]], kept: set[int]) -> Disk:
    disk = Disk({number: bytearray(data) for number, data in before.files.items()}, dict(before.names))
    for k, (kind, number, at, data, name) in enumerate(steps):
        if k not in kept:
            disk.lost |= {name} if kind == "folder" else set()
            continue
        if kind == "name":
            disk.names[name] = number
        elif kind == "move":
            disk.names.pop(data.decode(), None)
            disk.names[name] = number
        elif kind == "write":
            held = disk.files.setdefault(number, bytearray())
            held.extend(bytes(max(0, at + len(data) - len(held))))
            held[at : at + len(data)] = data
        elif kind == "cut":
            held = disk.files.setdefault(number, bytearray())
            del held[at:]
            held.extend(bytes(at - len(held)))
    return disk
