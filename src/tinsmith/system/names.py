"""The check of file names in archives, and in folders that a file describes, for all writers and readers.

Every tool on every system unpacks a name that passes below the target folder. `airgap/install.py`, which does
not import tinsmith, has a copy of the check; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tinsmith.errors import InputError, one_line

_PART = 255  # bytes of a file's name on most systems
_SHOWN = 100  # characters of a refused name


def is_inside(name: str) -> bool:
    """Whether the name is a relative path of plain parts: without `..`, control characters, and characters that
    Windows reads as a drive, a stream or another separator."""
    parts = name.split("/")
    plain = name.isprintable() and not set(name) & set("\\:")
    return plain and all(one not in ("", ".", "..") and len(one.encode()) <= _PART for one in parts)


def check(names: Iterable[str], where: str | Path, fault: type[InputError] = InputError) -> None:
    """Raises `fault` for a name that leads out, is a duplicate, or is a file and a folder at once."""
    files: set[str] = set()
    folders: set[str] = set()
    for name in names:
        if not is_inside(name):
            raise fault(f"{where}: the name {_shown(name)} leads out of its folder or is not portable")
        if name in files:
            raise fault(f"{where}: duplicate name {_shown(name)}")
        files.add(name)
        at = name.rfind("/")
        while at > 0 and name[:at] not in folders:
            folders.add(name[:at])
            at = name.rfind("/", 0, at)
    for name in files & folders:
        raise fault(f"{where}: the name {_shown(name)} is a file and a folder")


def _shown(name: str) -> str:
    return repr(one_line(name[:_SHOWN]))
