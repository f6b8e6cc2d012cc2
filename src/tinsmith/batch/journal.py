"""The journal of a batch: a run resumes after a crash at any moment.

The run writes OUT.part, which becomes OUT at the end. OUT.journal's first line has the batch's settings. Each
further line commits a window: its items, and the size and SHA-256 of OUT.part. Resuming truncates both files
after the last valid commit. The journal stays beside OUT, for --check.

The open journal is locked: a second run on the same OUT fails. Both files are synced every few seconds: a
killed process loses nothing, a power failure those seconds.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from tinsmith.batch.engine import Counts, WindowResult
from tinsmith.errors import InputError
from tinsmith.system import files, reading

_RESUMES = "finished items are kept: the same command resumes"
_SYNC_SECONDS = 2.0
_CHUNK = 1 << 20  # bytes
_START = b'{"batch": '
Lines = Iterator[tuple[dict[str, Any], int]]  # of a journal, each with its end in bytes


class Journal:
    """A context manager that locks OUT."""

    def __init__(self, out: Path, header: Mapping[str, Any], finish: Callable[[Path, Path], None]) -> None:
        """header: the batch's inputs and settings. finish: makes OUT from OUT.part. finished: the places in IN
        of the windows that earlier runs committed."""
        self.out, self.header, self._finish = out, json.loads(json.dumps(header)), finish
        self.part, self.path = beside(out)
        self.finished, self.counts, self.complete = list[range](), Counts(), False
        self._digest = hashlib.sha256()
        self._file: BinaryIO | None = None
        self._rows: BinaryIO | None = None
        self._synced = time.monotonic()

    def __enter__(self) -> Journal:
        try:
            with _write_errors(self.path, "nothing was changed"):
                files.make_folder(self.out.parent)
                self._file = _open(self.path)
                if not files.lock(self._file.fileno(), wait=False):
                    raise InputError(f"{self.out}: another run is writing it; wait for it, or give another OUT")
                with self.path.open("rb") as lines:
                    self._resume(self._file, _lines(lines))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        for file in (self._rows, self._file):
            if file is not None:
                file.close()
        self._rows = self._file = None

    def _resume(self, file: BinaryIO, lines: Lines) -> None:
        head, first = next(lines, None), next(lines, None)
        if head is None:
            _check_torn(self.path)
        if head is not None and first is None and not self.out.exists():  # without commits: starts anew
            if not self.part.is_symlink():
                self.part.unlink(missing_ok=True)
            head = None
        if head is None:
            self._begin(file)
        else:
            self._compare(head[0]["batch"])
        if first is not None:
            lines = chain((first,), lines)
        if self.out.exists() and not self.part.exists():
            last = _last(lines)
            if not last.get("complete"):
                raise InputError(f"{self.out}: exists, but its journal is incomplete; remove one of them")
            self.counts, self.complete = Counts(**last["counts"]), True
            return
        self._rows = _open(self.part)
        if head is not None:
            file.truncate(self._read_commits(self._rows, lines) or head[1])
        self._rows.truncate(self.counts.bytes)
        if self.complete:
            self._end()

    def _begin(self, file: BinaryIO) -> None:
        existing = next((one for one in (self.out, self.part) if os.path.lexists(one)), None)
        if existing is not None:
            if not os.fstat(file.fileno()).st_size:
                self.path.unlink(missing_ok=True)
            raise InputError(f"{existing}: exists without a journal; remove it, or give another OUT")
        file.truncate(0)
        _write_line(file, {"batch": self.header}, sync=True)

    def _compare(self, begun: Mapping[str, Any]) -> None:
        old, new = _flat(begun), _flat(self.header)
        name = next((name for name in {**old, **new} if old.get(name) != new.get(name)), None)
        if name is not None:
            raise InputError(
                f"{self.out}: was started with {name} {_shown(old.get(name))}, now {_shown(new.get(name))}; "
                "resume it as it was started, or give another OUT"
            )

    def _read_commits(self, rows: BinaryIO, lines: Lines) -> int:
        """Reads the commits that match OUT.part. The end of the last; 0 without any."""
        rows.seek(0)
        last = 0
        for commit, end in lines:
            counts, digest = Counts(**commit["counts"]), self._digest.copy()
            left = counts.bytes - self.counts.bytes
            while left > 0 and (piece := rows.read(min(left, _CHUNK))):
                digest.update(piece)
                left -= len(piece)
            if left or digest.hexdigest() != commit["sha256"]:
                break
            self.counts, self._digest, last = counts, digest, end
            self.complete = bool(commit.get("complete"))
            if "first" in commit:
                self.finished.append(_span(commit))
        return last

    def add(self, done: WindowResult) -> None:
        """Appends a window's lines to OUT.part and commits them."""
        assert self._rows is not None
        due = time.monotonic() - self._synced > _SYNC_SECONDS
        with _write_errors(self.part):
            _write_all(self._rows, done.lines)
            self._digest.update(done.lines)
            self.counts = self.counts.plus(done.counts)
            self._commit(sync=due, first=done.first, items=done.counts.items)

    def end(self) -> None:
        """Makes OUT."""
        with _write_errors(self.part):
            self._commit(sync=True, complete=True)
        self.complete = True
        self._end()

    def _commit(self, *, sync: bool, **more: Any) -> None:
        assert self._rows is not None and self._file is not None
        if sync:
            os.fsync(self._rows.fileno())
        commit = {**more, "counts": asdict(self.counts), "sha256": self._digest.hexdigest()}
        _write_line(self._file, commit, sync=sync)
        if sync:
            self._synced = time.monotonic()

    def _end(self) -> None:
        assert self._rows is not None
        self._rows.close()
        self._rows = None
        self._finish(self.part, self.out)

    def positions(self) -> Iterator[int]:
        """The positions of OUT's rows in IN, in OUT's order."""
        with self.path.open("rb") as file:
            for line, _ in _lines(file):
                if "first" in line:
                    yield from _span(line)

    def retried(self, sha256: str, answered: int) -> None:
        """Commits a rewritten OUT. answered: its rows that had failed before."""
        assert self._file is not None
        self.counts = replace(self.counts, failed=self.counts.failed - answered, bytes=self.out.stat().st_size)
        with _write_errors(self.path, f"{self.out.name} is complete and newer"):
            commit = {"counts": asdict(self.counts), "sha256": sha256, "complete": True}
            _write_line(self._file, commit, sync=True)


@contextmanager
def _write_errors(path: Path, outcome: str = _RESUMES) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise files.write_fault(path, error, outcome) from error


def _write_line(file: BinaryIO, table: Mapping[str, Any], *, sync: bool) -> None:
    _write_all(file, json.dumps(table, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
    if sync:
        os.fsync(file.fileno())


def _open(path: Path) -> BinaryIO:
    """Opens a file for appending. Links are errors: they may lead to another user's file."""
    flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # a pipe would block
    try:
        file = open(  # noqa: SIM115 - the journal closes it
            path, "ab+", buffering=0, opener=lambda name, more: os.open(name, more | flags, 0o666)
        )
    except OSError:
        if path.is_symlink():
            raise InputError(f"{path}: a link; remove it, or give another OUT") from None
        raise
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise InputError(f"{path}: not a regular file; remove it, or give another OUT")
    return file


def _check_torn(path: Path) -> None:
    """Raises InputError for a file that is not a journal with a torn first line."""
    with path.open("rb") as file:
        begin = file.read(reading.LINE)
    if begin and (b"\n" in begin or not (begin.startswith(_START) or _START.startswith(begin))):
        raise InputError(f"{path}: not the journal of a batch; move it away, or give another OUT")


def beside(out: Path) -> tuple[Path, Path]:
    """OUT.part and OUT.journal."""
    return out.with_name(f"{out.name}.part"), out.with_name(f"{out.name}.journal")


def header_of(out: Path) -> dict[str, Any]:
    """The header of a complete OUT."""
    path = beside(out)[1]
    try:
        with path.open("rb") as file:
            lines = _lines(file)
            head, _ = next(lines, ({}, 0))
            last = _last(lines)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; keep the journal of {out.name} beside it") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    if not last.get("complete"):
        raise InputError(f"{out}: incomplete; run its batch to the end first")
    header: dict[str, Any] = head["batch"]
    return header


def _span(commit: Mapping[str, Any]) -> range:
    """The places in IN of a committed window."""
    return range(commit["first"], commit["first"] + commit["items"])


def _last(lines: Lines) -> dict[str, Any]:
    left = deque(lines, maxlen=1)
    return left[0][0] if left else {}


def _lines(file: BinaryIO) -> Lines:
    """The lines before the first damaged one."""
    end = 0
    while (line := file.readline(reading.LINE)).endswith(b"\n"):
        try:
            table = reading.json(line, "the journal")
        except InputError:
            return
        if not isinstance(table, dict) or not _is_line(table, first=end == 0):
            return
        end += len(line)
        yield table, end


def _is_line(table: Mapping[str, Any], *, first: bool) -> bool:
    if first:
        return isinstance(table.get("batch"), dict)
    counts, span = table.get("counts"), [table.get(name, 0) for name in ("first", "items")]
    if not isinstance(counts, dict) or counts.keys() != {one.name for one in fields(Counts)}:
        return False
    return isinstance(table.get("sha256"), str) and all(type(one) is int for one in (*counts.values(), *span))


def _write_all(file: BinaryIO, data: bytes) -> None:
    """A raw file may write less than it is given."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def _flat(header: Mapping[str, Any]) -> dict[str, Any]:
    """The header's values by their names in errors."""
    flat: dict[str, Any] = {}
    for name, value in header.items():
        name = {"in": "IN", "file": "FILE"}.get(name, name)
        if isinstance(value, dict):
            flat |= {f"{name} {key}": inner for key, inner in value.items()}
        else:
            flat[name] = value
    return flat


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:80]}…"
