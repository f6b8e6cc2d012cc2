"""The catalog of base models, catalog.toml."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tinsmith.system import reading


@dataclass(frozen=True)
class Wheel:
    """A member of a wheel on a package index, both pinned by SHA-256."""

    package: str
    version: str
    file: str
    bytes: int
    sha256: str
    member: str
    member_bytes: int
    member_sha256: str
    license_member: str


@dataclass(frozen=True)
class Entry:
    """A model in a wheel, or in the hub's repository org/name. license: an SPDX name, or the maker's own.
    source: its page. family: of tinsmith.models. parameters: approximate number. good_for: typical use. gated:
    whether the hub requires an account that accepted the licence."""

    name: str
    summary: str
    license: str
    source: str
    family: str
    parameters: int
    good_for: str
    gated: bool = False
    repository: str | None = None
    wheel: Wheel | None = None


@cache
def catalog() -> dict[str, Entry]:
    """The models by name, smallest first."""
    path = Path(__file__).parents[1] / "catalog.toml"
    entries = {}
    for name, fields in reading.toml(path.read_text("utf-8"), path.name).items():
        wheel = fields.pop("wheel", None)
        entries[name] = Entry(name=name, wheel=Wheel(**wheel) if wheel else None, **fields)
    return dict(sorted(entries.items(), key=lambda item: (item[1].parameters, item[0])))
