"""Archives whose bytes follow from names and contents alone: tar and zip files, and the day that files bear."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from tinsmith.errors import InputError
from tinsmith.system import names

Source = bytes | Path
PROGRAM = 0o755
DATA = 0o644
SCRIPTS = ("postinst", "prerm")  # of a package, which dpkg runs
FIRST = 315532800  # 1980, the first day that a ZIP can say


def epoch() -> int:
    """Seconds since 1970 that packages, images and ZIP files bear: SOURCE_DATE_EPOCH, or the year 1980. Raises
    InputError where that is no such number."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not given:
        return FIRST
    if not given.isdecimal() or not FIRST <= int(given) < 1 << 32:
        raise InputError(f"SOURCE_DATE_EPOCH={given}: give seconds since 1970, from {FIRST} (1980) to 2^32 - 1")
    return int(given)


def write(folder: Path, name: str, file: BinaryIO) -> None:
    """Everything below `folder`, as `name`/…: sorted, of the year 1970, owned by nobody in particular."""
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        paths = _named(folder, name)
        for inside, path in {name: folder, **paths}.items():
            entry = tarfile.TarInfo(inside)
            if path.is_dir():
                entry.type, entry.mode = tarfile.DIRTYPE, PROGRAM
                archive.addfile(entry)
                continue
            entry.size = path.stat().st_size
            entry.mode = path.stat().st_mode & 0o777
            with path.open("rb") as data:
                archive.addfile(entry, data)


def write_zip(folder: Path, name: str, file: BinaryIO) -> None:
    """The same as a ZIP file, stored: weights and wheels do not get smaller."""
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
                while piece := data.read(1 << 20):
                    written.write(piece)


def _named(folder: Path, name: str) -> dict[str, Path]:
    """All below the folder by its place in an archive, in order."""
    paths = {f"{name}/{path.relative_to(folder).as_posix()}": path for path in sorted(folder.rglob("*"))}
    names.check((inside for inside, path in paths.items() if not path.is_dir()), folder)
    return paths


def folders(files: Mapping[str, Source]) -> list[str]:
    """Those that the files lie in, each after the one around it."""
    parents = {parent.as_posix() for name in files for parent in Path(name).parents}
    return sorted(parents - {"."})


def mode(name: str) -> int:
    """Of a file of a system's tree."""
    return PROGRAM if name.startswith("usr/bin/") or name in SCRIPTS else DATA


def size(source: Source) -> int:
    return len(source) if isinstance(source, bytes) else source.stat().st_size


def write_tree(files: Mapping[str, Source], file: BinaryIO, prefix: str = "") -> None:
    """Files of a system by their places in it, and their folders: root's, of `epoch`. Raises InputError for a
    place outside of it."""
    names.check(files, "the archive")
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted([*folders(files), *files]):
            entry = tarfile.TarInfo(prefix + name)
            entry.mtime, entry.uname, entry.gname = epoch(), "root", "root"
            source = files.get(name)
            if source is None:
                entry.type, entry.mode = tarfile.DIRTYPE, PROGRAM
                archive.addfile(entry)
            else:
                _add(archive, entry, name, source)


def _add(archive: tarfile.TarFile, entry: tarfile.TarInfo, name: str, source: Source) -> None:
    entry.size, entry.mode = size(source), mode(name)
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as data:
        try:
            archive.addfile(entry, data)
        except ValueError as error:  # a part that is too long for tar's fields
            raise InputError(f"{entry.name[:100]}: can't be in an archive: {error}; shorten it") from None
