"""Files on disk: atomic writes, read-only maps, digests. Disk faults become one-line InputErrors.

All of tinsmith's lasting files are written by these functions. hashlib and secrets are imported where used:
they load OpenSSL, which running a model doesn't need.
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

_DISK_FAULTS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
# Errors of a folder's sync to ignore: some file systems don't support it, some folders can't be opened.
_UNSYNCED = {errno.EINVAL, errno.ENOTSUP, errno.EACCES}
_MOST_LINKS = 40  # Linux's limit
_owner = "0"  # nobody in particular
_TEMPORARY = re.compile(r"\.tinsmith-[0-9a-f]+-[0-9a-f]{16}\.tmp")
_claim: Callable[[Path], None] | None = None


def write_fault(path: Path, error: OSError, outcome: str = "nothing was changed") -> InputError:
    """The InputError for a failed write to `path`."""
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        outcome = f"free some space on the disk of {path.parent} and try again; {outcome}"
    return InputError(f"{path}: cannot write: {reason}; {outcome}")


@contextmanager
def read_faults(path: str | Path, fault: type[InputError] = InputError) -> Iterator[None]:
    """Within it, a failure to open or read `path` raises `fault`."""
    try:
        yield
    except FileNotFoundError:
        raise fault(f"{path}: no such file; check the path") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise fault(f"{path}: cannot read: {getattr(error, 'strerror', None) or error}") from None


@contextmanager
def atomic_write(path: str | Path, *, private: bool = False) -> Iterator[BinaryIO]:
    """A binary file that replaces `path` when the block succeeds, and is removed when it fails.

    Readers see the old file or the new one, never a part, also after a power loss: temporary file in the same
    folder, fsync, rename, fsync of the folder. A missing folder is created; an old file's mode stays. private:
    only the owner can ever open the file.

    Of a link, the target is replaced. A pipe, a character device or a descriptor of this process (/dev/stdout)
    gets the complete content at the end. Raises InputError for a folder, a socket or a block device, for a disk
    fault, and within `claims` for another program's file.
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
        raise InputError(f"{path}: is a {kind}, which no file can replace; give another path")
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
            if there and not private and hasattr(os, "fchmod"):  # not on Windows
                os.fchmod(file.fileno(), there.st_mode & 0o777)
            yield file
            ended = True
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(place)
    except OSError as error:
        # Other OSErrors come from the caller's own reads.
        if ended or error.errno in _DISK_FAULTS or error.filename == str(temporary):
            raise write_fault(path, error) from error
        raise
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    _sync_place(path, place.parent)


def _status(path: Path) -> os.stat_result | None:
    """The status of the file at `path`, links followed; None for none."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:  # such as a cycle of links
        raise write_fault(path, error) from error


def _descriptor(path: Path) -> int | None:
    """The descriptor of this process that `path` names, such as /dev/stdout."""
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
    """A temporary file, copied to `path` when the block succeeds."""
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
    """A new folder that is moved to `path`, synced with its contents, when the block succeeds, and removed when
    it fails.

    replaces: the name of a file that marks a replaceable folder; only such a folder or an empty one is
    replaced, by two renames, between which `path` is missing. Raises InputError for anything else at `path`, or
    a disk fault.
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
    except InputError as error:  # name the final path
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
    """Whether a replaceable folder exists. Raises InputError for anything else at that path."""
    if not os.path.lexists(place):
        return False
    if place.is_dir() and (not any(place.iterdir()) or (replaces and (place / replaces).is_file())):
        return True
    raise InputError(f"{place}: exists and can't be replaced; remove it, or give another path")


def replace(temporary: Path, path: Path) -> None:
    """Replaces `path` with a complete, synced file."""
    try:
        temporary.replace(path)
    except OSError as error:
        raise write_fault(path, error) from error
    _sync_place(path, path.parent)


@contextmanager
def claims(check: Callable[[Path], None]) -> Iterator[None]:
    """Within it, `check` is called with each file or folder before this module writes it, and raises InputError
    for another program's."""
    global _claim
    before, _claim = _claim, check
    try:
        yield
    finally:
        _claim = before


def claim(path: Path) -> None:
    """Must precede writing or removing a file or folder without this module's other functions. A claimed folder
    covers its contents."""
    if _claim is not None and not any(_TEMPORARY.fullmatch(part) for part in path.parts):
        _claim(path)


def check_begins(path: Path, begin: bytes) -> None:
    """Raises InputError unless an existing file at `path` begins with these bytes: a file whose name the user
    did not give must be tinsmith's own to be replaced."""
    if not os.path.lexists(path):
        return
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
    """Deletes a file, if it exists. Raises InputError within `claims` for another program's file."""
    if os.path.lexists(path):
        claim(path)
        path.unlink()


@contextmanager
def temporaries_of(owner: str) -> Iterator[None]:
    """Within it, the names of this process's temporary files include `owner`, for `remove_leftovers`."""
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
    """Deletes the temporary files and folders below `folder` that a killed process of this owner left."""
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
    """mkdir -p that survives a power loss. Raises InputError where a file is in the way."""
    wanted = (folder, *folder.parents)
    missing = [one for one in wanted if not one.exists()]
    there = next((one for one in wanted if one not in missing), None)
    if there is not None and not there.is_dir():
        raise InputError(f"{there}: is a file, not a folder; give another path")
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
        raise write_fault(path, error, "it was written, but a power loss may undo that") from error


def _sync_folder(folder: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):  # Windows can't sync a folder
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
    """Path.resolve without its error for cyclic links, which opening the path reports."""
    return Path(os.path.realpath(path))


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path, with links followed, lies in the folder."""
    return resolved(path).is_relative_to(resolved(folder))


def stated(path: str) -> Path:
    """A user's path, with ~ expanded where a home is known."""
    return Path(os.path.expanduser(path))  # noqa: PTH111  pathlib's raises for an unknown user


def write_text(path: str | Path, text: str) -> None:
    """Writes UTF-8, atomically. Raises InputError for text with a file name that is not UTF-8."""
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as error:
        shown = repr(text[max(0, error.start - 40) : error.end + 20])
        raise InputError(f"{path}: cannot write a name that is not UTF-8: {shown}; rename it") from None
    with atomic_write(path) as file:
        file.write(data)


def append_line(path: str | Path, text: str) -> None:
    """Appends a line to a file; creates it private to its owner. Lines of concurrent processes stay intact, and
    so do the lines before one that a power loss cut off.

    Raises InputError, and appends nothing, for a disk fault or a path that is no file."""
    path = Path(path)
    claim(path)
    there = _status(path)
    if there and not stat.S_ISREG(there.st_mode):
        raise InputError(f"{path}: is no regular file to append to; give another path")
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
    """The file's bytes, mapped read-only for as long as a slice of them lives.

    Raises InputError for a missing or unreadable file.
    """
    with read_faults(path), Path(path).open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            return memoryview(b"")
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def forget(data: bytes | bytearray | memoryview) -> None:
    """Releases the memory of the mapped file that `data` is a slice of; the system reads it again when used.

    Does nothing for other data, or on systems without madvise. Without it, the pages of a large file that is
    read once count as the process's memory.
    """
    if isinstance(data, memoryview) and data.readonly and hasattr(mmap, "MADV_DONTNEED"):
        owner: object = data.obj
        if isinstance(owner, mmap.mmap):
            owner.madvise(mmap.MADV_DONTNEED)


def sha256_file(path: str | Path) -> str:
    """The SHA-256 of a file in hexadecimal."""
    import hashlib

    with read_faults(path), Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def lock(descriptor: int, *, wait: bool) -> bool:
    """Locks an open file until it is closed or the process ends. Without wait, returns False for a file that
    another process has locked. With wait, raises OSError on a file system without locks."""
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
    """Locks the file `path` within the block, after any other process. The lock ends with the process."""
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
            if sys.platform == "win32":  # elsewhere closing unlocks
                import msvcrt

                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
