"""Reproducible tar and ZIP files: the same names and contents give the same bytes."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from tinsmith.errors import InputError
from tinsmith.system import names

Source = bytes | Path
PROGRAM = 0o755
DATA = 0o644
SCRIPTS = ("postinst", "prerm")  # run by dpkg
FIRST = 315532800  # 1980, the first year that a ZIP file can state


def epoch() -> int:
    """The timestamp of files in packages, images and ZIP files, in seconds since 1970: SOURCE_DATE_EPOCH, or
    the year 1980. Raises InputError for an invalid SOURCE_DATE_EPOCH."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not given:
        return FIRST
    if not given.isdecimal() or not FIRST <= int(given) < 1 << 32:
        raise InputError(f"SOURCE_DATE_EPOCH={given}: give seconds since 1970, from {FIRST} (1980) to 2^32 - 1")
    return int(given)


def write(folder: Path, name: str, file: BinaryIO) -> None:
    """Archives `folder` as `name`/…: sorted, dated 1970, without owners."""
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for inside, path in {name: folder, **_named(folder, name)}.items():
            source = None if path.is_dir() else path
            _add(archive, tarfile.TarInfo(inside), source, path.stat().st_mode & 0o777)


def _add(archive: tarfile.TarFile, entry: tarfile.TarInfo, source: Source | None, mode: int) -> None:
    """source: None for a folder."""
    if source is None:
        entry.type, entry.mode = tarfile.DIRTYPE, PROGRAM
        archive.addfile(entry)
        return
    entry.size, entry.mode = size(source), mode
    with opened(source) as data:
        archive.addfile(entry, data)


def write_zip(folder: Path, name: str, file: BinaryIO) -> None:
    """The same as an uncompressed ZIP file: weights and wheels do not compress."""
    date = datetime.fromtimestamp(epoch(), UTC).timetuple()[:6]
    with zipfile.ZipFile(file, "w") as archive:
        for inside, path in _named(folder, name).items():
            if not path.is_file():
                continue
            entry = zipfile.ZipInfo(inside, date)
            entry.create_system = 3  # Unix: the next line is a mode
            entry.external_attr = (0o100000 | path.stat().st_mode & 0o777) << 16
            entry.file_size = path.stat().st_size
            with path.open("rb") as data, archive.open(entry, "w") as written:
                shutil.copyfileobj(data, written)


def _named(folder: Path, name: str) -> dict[str, Path]:
    """The folder's contents by their names in the archive, sorted."""
    paths = {f"{name}/{path.relative_to(folder).as_posix()}": path for path in sorted(folder.rglob("*"))}
    names.check((inside for inside, path in paths.items() if not path.is_dir()), folder)
    return paths


def folders(files: Mapping[str, Source]) -> list[str]:
    """The parent folders of the files, outer ones first."""
    parents = {parent.as_posix() for name in files for parent in Path(name).parents}
    return sorted(parents - {"."})


def mode(name: str) -> int:
    """The mode of an installed file."""
    return PROGRAM if name.startswith("usr/bin/") or name in SCRIPTS else DATA


def size(source: Source) -> int:
    return len(source) if isinstance(source, bytes) else source.stat().st_size


def content(source: Source) -> bytes:
    return source if isinstance(source, bytes) else source.read_bytes()


def opened(source: Source) -> io.BytesIO | io.BufferedReader:
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def digest(source: Source, algorithm: Callable[[], Any]) -> str:
    with opened(source) as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def write_tree(files: Mapping[str, Source], file: BinaryIO, prefix: str = "") -> None:
    """Archives installed files and their folders, owned by root and dated `epoch`. Raises InputError for a path
    that leads out of the tree."""
    names.check(files, "the archive")
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted([*folders(files), *files]):
            entry = tarfile.TarInfo(prefix + name)
            entry.mtime, entry.uname, entry.gname = epoch(), "root", "root"
            try:
                _add(archive, entry, files.get(name), mode(name))
            except ValueError as error:  # too long for tar's fields
                raise InputError(f"{entry.name[:100]}: cannot be archived: {error}; shorten it") from None
