"""Files on disk: atomic writes, read-only maps, digests. Faults of the disk become one-line InputErrors.

Whatever tinsmith writes for good it writes by these. hashlib and secrets are imported where they are used: they
load OpenSSL, which running a model never needs.
"""

from __future__ import annotations

import errno
import mmap
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

from tinsmith.errors import InputError

_CHUNK = 1 << 20
_DISK_FAULTS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
# Of a folder's sync: not every file system has one, and not every folder may be opened to ask for it.
_UNSYNCED = {errno.EINVAL, errno.ENOTSUP, errno.EACCES}
_MOST_LINKS = 40  # as Linux has it
_NOBODY = "0"
_owner = _NOBODY
_TEMPORARY = re.compile(r"\.tinsmith-[0-9a-f]+-[0-9a-f]{16}\.tmp")
_claim: Callable[[Path], None] | None = None


def write_fault(path: Path, error: OSError, outcome: str = "nothing was changed") -> InputError:
    """The user's line for a failed write to `path`."""
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        outcome = f"free some space on the disk of {path.parent} and try again; {outcome}"
    return InputError(f"{path}: cannot write: {reason}; {outcome}")


@contextmanager
def atomic_write(path: str | Path, *, private: bool = False) -> Iterator[BinaryIO]:
    """A binary file that takes `path`'s place when the block ends well, and vanishes when it does not.

    Readers see the old file or the new one, never a part, also after a loss of power: a temporary file in the
    same folder, fsync, rename, fsync of the folder. The folder is made if missing; an old file's mode is kept.
    private: the file is its owner's alone from the first moment.

    Only a file is ever replaced. A link stays, and what it leads to is replaced. A pipe, a character device and
    a descriptor of this process (/dev/stdout) are written to, once all is there; a folder, a socket and a block
    device are refused. Raises InputError for these, where the disk refuses (full, no permission), and within
    `claims` for a file that is not ours.
    """
    path = Path(path)
    claim(path)
    there = _status(path)
    descriptor = _descriptor(path)
    if descriptor is not None or (there and (stat.S_ISFIFO(there.st_mode) or stat.S_ISCHR(there.st_mode))):
        with _stream(path, descriptor) as file:
            yield file
        return
    if there and not stat.S_ISREG(there.st_mode):
        kind = "folder" if stat.S_ISDIR(there.st_mode) else "socket" if stat.S_ISSOCK(there.st_mode) else "disk"
        raise InputError(f"{path}: is a {kind}, and no file can take its place; give another path")
    mode = 0o600 if private or there else 0o666
    place = Path(os.path.realpath(path)) if path.is_symlink() else path
    temporary = _temporary(place.parent)
    try:
        make_folder(place.parent)
        file = open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, mode))  # noqa: SIM115
    except OSError as error:
        raise write_fault(path, error) from error
    ended = False
    try:
        with file:
            if there and not private and hasattr(os, "fchmod"):  # Windows has other rights
                os.fchmod(file.fileno(), there.st_mode & 0o777)
            yield file
            ended = True
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(place)
    except OSError as error:
        # Other OSErrors come from whatever the caller reads meanwhile, and are the caller's to explain.
        if ended or error.errno in _DISK_FAULTS or error.filename == str(temporary):
            raise write_fault(path, error) from error
        raise
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    _sync_place(path, place.parent)


def _status(path: Path) -> os.stat_result | None:
    """Of what `path` leads to; None where that is nothing."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:  # as of links in a circle
        raise write_fault(path, error) from error


def _descriptor(path: Path) -> int | None:
    """The number of the open file of this process that `path` is a name of, such as /dev/stdout."""
    for _ in range(_MOST_LINKS):
        folder = os.path.realpath(path.parent)
        if path.name.isdecimal() and folder in ("/dev/fd", f"/proc/{os.getpid()}/fd"):
            return int(path.name)
        try:
            path = path.parent / path.readlink()
        except OSError:
            break
    return None


@contextmanager
def _stream(path: Path, descriptor: int | None) -> Iterator[BinaryIO]:
    """A file whose bytes go into what can't be replaced or taken back, when all of them are there."""
    import shutil
    import tempfile

    with tempfile.NamedTemporaryFile(prefix="tinsmith-") as whole:
        yield cast(BinaryIO, whole)
        whole.seek(0)
        try:
            opened = os.open(path, os.O_WRONLY) if descriptor is None else os.dup(descriptor)
            with os.fdopen(opened, "wb") as file:
                shutil.copyfileobj(whole, file)
        except OSError as error:
            raise write_fault(path, error, "a part of it may be there") from error


@contextmanager
def atomic_folder(path: str | Path, replaces: str | None = None) -> Iterator[Path]:
    """A new folder that is at `path`, synced with all that was put into it, when the block ends well, and
    vanishes when it does not.

    replaces: a file that an earlier folder of the kind has; only such a folder, or an empty one, is replaced,
    by two renames, between which there is none. Raises InputError where there is something else, or the disk
    refuses.
    """
    path = Path(path)
    claim(path)
    place = Path(os.path.realpath(path)) if path.is_symlink() else path
    _check_replaceable(place, replaces)
    draft, before = _temporary(place.parent), _temporary(place.parent)
    try:
        make_folder(place.parent)
        draft.mkdir()
        yield draft
        _sync_tree(draft)
        if _check_replaceable(place, replaces):
            place.rename(before)
        try:
            draft.rename(place)
        except OSError:
            if before.exists():
                before.rename(place)
            raise
    except InputError as error:  # of a file in it, whose place is where it would be
        raise type(error)(str(error).replace(str(draft), str(path))) from error
    except OSError as error:
        if error.errno in _DISK_FAULTS or str(draft) in str(error.filename):
            raise write_fault(path, error) from error
        raise
    finally:
        for folder in (draft, before):
            _remove_tree(folder)
    _sync_place(path, place.parent)


def _check_replaceable(place: Path, replaces: str | None) -> bool:
    """Is there a folder that may be replaced? Raises InputError where there is something else."""
    if not os.path.lexists(place):
        return False
    if place.is_dir() and (not any(place.iterdir()) or (replaces and (place / replaces).is_file())):
        return True
    raise InputError(f"{place}: there is something else; remove it, or give another path")


def replace(temporary: Path, path: Path) -> None:
    """A file that is whole and synced takes `path`'s place."""
    try:
        temporary.replace(path)
    except OSError as error:
        raise write_fault(path, error) from error
    _sync_place(path, path.parent)


@contextmanager
def claims(check: Callable[[Path], None]) -> Iterator[None]:
    """Within it, `check` is called with each file or folder before this module writes it: it raises InputError
    for one that is not ours to replace."""
    global _claim
    before, _claim = _claim, check
    try:
        yield
    finally:
        _claim = before


def claim(path: Path) -> None:
    """Call it before a file or folder is written or removed without this module's other functions; of a folder,
    that covers all that is put into it later."""
    if _claim is not None and not any(_TEMPORARY.fullmatch(part) for part in path.parts):
        _claim(path)


def check_begins(path: Path, begin: bytes) -> None:
    """Of a file whose name the user did not give. Raises InputError for one that is there and begins otherwise:
    it is somebody else's, and stays."""
    if not os.path.lexists(path):
        return
    data = b""
    if path.is_file() and not path.is_symlink():
        try:
            with path.open("rb") as file:
                data = file.read(len(begin))
        except OSError as error:
            raise write_fault(path, error) from error
        if data in (b"", begin):
            return
    raise InputError(f"{path}: would be replaced, and tinsmith did not write it; move it away")


def remove(path: Path) -> None:
    """Deletes a file, if it is there. Raises InputError for one that is not ours within `claims`."""
    if os.path.lexists(path):
        claim(path)
        path.unlink()


@contextmanager
def temporaries_of(owner: str) -> Iterator[None]:
    """Within it, this process's temporary files bear the owner's name, which `remove_leftovers` is given."""
    global _owner
    before, _owner = _owner, owner
    try:
        yield
    finally:
        _owner = before


def _temporary(folder: Path) -> Path:
    import secrets

    return folder / f".tinsmith-{_owner}-{secrets.token_hex(8)}.tmp"


def remove_leftovers(folder: Path, owner: str) -> None:
    """Deletes what a process of the owner's was writing in and below `folder` when it was killed; no more."""
    name = re.compile(rf"\.tinsmith-{re.escape(owner)}-[0-9a-f]{{16}}\.tmp")
    for here, folders, names in os.walk(folder):
        for left in filter(name.fullmatch, names):
            with suppress(OSError):
                Path(here, left).unlink()
        for left in filter(name.fullmatch, list(folders)):
            folders.remove(left)
            _remove_tree(Path(here, left))


def _remove_tree(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def make_folder(folder: Path) -> None:
    """As mkdir -p; and no loss of power undoes it. Raises InputError where a file is in the way."""
    wanted = (folder, *folder.parents)
    missing = [one for one in wanted if not one.exists()]
    there = next((one for one in wanted if one not in missing), None)
    if there is not None and not there.is_dir():
        raise InputError(f"{there}: is a file, where a folder is to be; give another path")
    folder.mkdir(parents=True, exist_ok=True)
    for one in missing:
        _sync_folder(one.parent)


def _sync_tree(folder: Path) -> None:
    for here, _, names in os.walk(folder):
        for name in names:
            with Path(here, name).open("rb+") as file:
                os.fsync(file.fileno())
        _sync_folder(Path(here))


def _sync_place(path: Path, folder: Path) -> None:
    try:
        _sync_folder(folder)
    except OSError as error:
        raise write_fault(path, error, "it is there, but a loss of power may undo that") from error


def _sync_folder(folder: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):  # Windows has no handle on a folder to sync
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _UNSYNCED:
            raise


def resolved(path: str | Path) -> Path:
    """As Path.resolve, which raises for links in a circle; those are said where the path is opened."""
    return Path(os.path.realpath(path))


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path, with all links followed, lies in the folder."""
    return resolved(path).is_relative_to(resolved(folder))


def stated(path: str) -> Path:
    """A path as people write it: ~ is a home, but where nobody has it a name."""
    return Path(os.path.expanduser(path))  # noqa: PTH111  pathlib's raises where nobody has it


def write_text(path: str | Path, text: str) -> None:
    """Raises InputError where it holds the name of a file or folder that is not UTF-8."""
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as error:
        shown = repr(text[max(0, error.start - 40) : error.end + 20])
        raise InputError(
            f"{path}: cannot write a name that is not UTF-8: {shown}; rename the file or folder"
        ) from None
    with atomic_write(path) as file:
        file.write(data)


def append_line(path: str | Path, text: str) -> None:
    """Adds a line to a file, which is made private to its owner where it is missing. Lines of several processes
    stay whole, and so do the lines before one that was cut off by a loss of power.

    Raises InputError where the disk refuses, or what is there is no file; nothing is added then."""
    path = Path(path)
    claim(path)
    there = _status(path)
    if there and not stat.S_ISREG(there.st_mode):
        raise InputError(f"{path}: is no file that a line can be added to; give another path")
    try:
        make_folder(path.parent)
        with open(path, "ab+", buffering=0, opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            lock(file.fileno(), wait=True)
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - 1))
            cut = file.read(1) not in (b"", b"\n")
            data = b"\n" * cut + text.encode("utf-8", "surrogatepass") + b"\n"
            if file.write(data) != len(data):
                file.truncate(end)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise write_fault(path, error) from error


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


def lock(descriptor: int, *, wait: bool) -> bool:
    """Takes the lock of an open file, which the system lets go of when the process ends. False where another
    has it and wait is off. Raises OSError where the file system has no locks and wait is on."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(descriptor, 0, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        if wait:
            raise
        return False
    return True


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
        lock(file.fileno(), wait=True)
        try:
            yield
        finally:
            if sys.platform == "win32":  # elsewhere closing lets go
                import msvcrt

                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
