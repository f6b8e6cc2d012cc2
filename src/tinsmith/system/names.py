"""Names of files in archives, and in folders that a file describes: the one check for all writers and readers.

A name that this check passes is unpacked below the folder it is unpacked into, by every tool on every system.
`airgap/install.py`, which imports nothing of tinsmith, has the same check; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tinsmith.errors import InputError, one_line

_PART = 255  # bytes of a file's name on most systems
_SHOWN = 100  # characters of a refused name


def is_inside(name: str) -> bool:
    """Is it a relative path of plain parts? Neither `..` nor an absolute path, no control characters, and
    nothing that Windows reads as a drive, a stream or another separator."""
    parts = name.split("/")
    plain = name.isprintable() and not set(name) & set("\\:")
    return plain and all(one not in ("", ".", "..") and len(one.encode()) <= _PART for one in parts)


def check(names: Iterable[str], where: str | Path, fault: type[InputError] = InputError) -> None:
    """Raises `fault` where a name is not inside, stands twice, or is a file and a folder at once."""
    files: set[str] = set()
    folders: set[str] = set()
    for name in names:
        if not is_inside(name):
            raise fault(
                f"{where}: the name {_shown(name)} leads out of its folder or can't be unpacked everywhere"
            )
        if name in files:
            raise fault(f"{where}: the name {_shown(name)} stands twice")
        files.add(name)
        at = name.rfind("/")
        while at > 0 and name[:at] not in folders:
            folders.add(name[:at])
            at = name.rfind("/", 0, at)
    for name in files & folders:
        raise fault(f"{where}: the name {_shown(name)} is a file and a folder")


def _shown(name: str) -> str:
    return repr(one_line(name[:_SHOWN]))
