"""A folder as a tar file whose bytes follow from the names and contents alone."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import BinaryIO

PROGRAM = 0o755
DATA = 0o644


def write(folder: Path, name: str, file: BinaryIO) -> None:
    """Everything below `folder`, as `name`/…: sorted, of the year 1970, owned by nobody in particular."""
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in sorted([folder, *folder.rglob("*")]):
            inside = path.relative_to(folder).as_posix()
            entry = tarfile.TarInfo(name if inside == "." else f"{name}/{inside}")
            if path.is_dir():
                entry.type, entry.mode = tarfile.DIRTYPE, PROGRAM
                archive.addfile(entry)
                continue
            entry.size = path.stat().st_size
            entry.mode = path.stat().st_mode & 0o777
            with path.open("rb") as data:
                archive.addfile(entry, data)
