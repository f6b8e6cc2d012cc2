"""Files on disk: atomic writes, read-only maps, digests. Faults of the disk become one-line InputErrors.

hashlib and secrets are imported where they are used: they load OpenSSL, which running a model never needs.
"""

from __future__ import annotations

import errno
import mmap
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from tinsmith.errors import InputError

_CHUNK = 1 << 20
_TEMPORARY = ".tmp"
_DISK_FAULTS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


def write_fault(path: Path, error: OSError) -> InputError:
    """The user's line for a failed write to `path`."""
    reason = error.strerror or str(error)
    advice = "nothing was changed"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        advice = f"free some space on the disk of {path.parent} and try again; nothing was changed"
    return InputError(f"{path}: cannot write: {reason}; {advice}")


@contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """A binary file that takes `path`'s place when the block ends well, and vanishes when it does not.

    Readers see the old file or the new one, never a part: a temporary file in the same folder, fsync, rename.
    The folder is made if missing. Raises InputError where the disk refuses (full, read-only, no permission).
    """
    import secrets

    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}{_TEMPORARY}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = temporary.open("xb")
    except OSError as error:
        raise write_fault(path, error) from error
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        # Other OSErrors come from whatever the caller reads meanwhile, and are the caller's to explain.
        if error.errno in _DISK_FAULTS or error.filename == str(temporary):
            raise write_fault(path, error) from error
        raise
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Deletes what atomic_write was writing in and below `folder` when its process was killed. Nobody else may
    be writing there."""
    for path in list(folder.rglob(f".*{_TEMPORARY}")):
        with suppress(OSError):
            path.unlink()


def _sync_folder(folder: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):  # Windows has no handle on a folder to sync
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: str | Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write(text.encode("utf-8"))


def map_file(path: str | Path) -> memoryview:
    """The file's bytes, mapped read-only; the map lives as long as a slice of it. An empty file is empty.

    Raises InputError when there is no such file or it can't be read.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                return memoryview(b"")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; check the path") from error
    except OSError as error:
        raise InputError(f"{path}: cannot read: {error.strerror or error}") from error


def forget(data: bytes | bytearray | memoryview) -> None:
    """Lets the system take back the memory of the mapped file that `data` is a slice of; it is read again when
    used.

    What is no map of a file, and systems that can't, are left alone. Pages of a map count as a process's memory
    as long as nothing else wants them, which shows where a large file is read once.
    """
    if isinstance(data, memoryview) and data.readonly and hasattr(mmap, "MADV_DONTNEED"):
        owner: object = data.obj
        if isinstance(owner, mmap.mmap):
            owner.madvise(mmap.MADV_DONTNEED)


def sha256_file(path: str | Path, progress: Callable[[int], None] | None = None) -> str:
    """The SHA-256 of a file in hexadecimal. progress: called with the bytes of each piece read."""
    import hashlib

    path = Path(path)
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                if progress is not None:
                    progress(len(chunk))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; check the path") from error
    except OSError as error:
        raise InputError(f"{path}: cannot read: {error.strerror or error}") from error
    return digest.hexdigest()


@contextmanager
def locked(path: str | Path) -> Iterator[None]:
    """Holds the lock file `path`, waiting for other processes; the system lets go of it if this one dies."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    except OSError as error:
        raise write_fault(path, error) from error
    with file:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
            try:
                yield
            finally:
                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
            yield
