"""Examines and renders chat templates in a child process with limits (chat/jinja.py).

The first request starts the process. It ends with `close`, with its parent, or at a time limit; the next
request starts another. It runs this interpreter without environment, site packages or current folder:
`sys.executable -I -S`.

The time limit applies to the process's CPU time on Linux, so that a busy machine does not count, and to wall
time elsewhere. The memory limit needs `resource.RLIMIT_AS` (Linux, the BSDs). Frozen applications, WebAssembly
and phones cannot start the process: UnsupportedError. A .tin needs none of this: its template was compiled at
build time.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, Any

from tinsmith.errors import InputError, MissingExtraError, TinsmithError, UnsupportedError

_PROGRAM = Path(__file__).with_name("jinja.py")
SECONDS = 10.0  # a rendering takes under a millisecond
WALL = 10  # times the CPU time: a process that takes longer hangs
_START = 60.0  # seconds to start an interpreter on a busy machine
_MOST_REPLY = 128 << 20  # bytes
# Before 3.1.6 a template could escape the sandbox (CVE-2025-27516).
LEAST = (3, 1, 6)
# Variables that an interpreter may need to start: the folders of the system and of its own library.
_KEPT = ("SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


class JinjaProcess:
    """Runs one process at a time, for one thread at a time."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._replies: SimpleQueue[bytes] = SimpleQueue()
        self._limit = 0.0  # seconds of the current block; 0: none
        self._began = 0.0
        self._spent: tuple[int, float] = (0, 0.0)  # the process at that time, and its CPU time
        self._late = False

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Limits the time of all requests in the block together; raises InputError where they exceed it,
        whatever the block made of the interrupted request. Of nested blocks the outermost limits."""
        with self._lock:
            if self._limit:
                yield
                return
            process = self._started()  # before the time begins: an interpreter's start does not count
            self._began, self._spent = time.monotonic(), (process.pid, _cpu_time(process) or 0.0)
            self._limit, self._late = seconds, False
            try:
                try:
                    yield
                except TinsmithError:
                    if not self._late:
                        raise
                if self._late or self._left() <= 0:
                    message = f"the chat template takes too long: over {seconds:g} seconds"
                    raise InputError(f"{message}; check the model's template")
            finally:
                self._limit = 0.0

    def _left(self) -> float:
        """Seconds that the block has left: of CPU time where the system reports it, within WALL times as
        many."""
        elapsed, process = time.monotonic() - self._began, self._process
        used = None if process is None else _cpu_time(process)
        if process is None or used is None:
            return self._limit - elapsed
        if elapsed >= WALL * self._limit:
            return 0.0
        return self._limit - (used - self._spent[1] if process.pid == self._spent[0] else used)

    def ask(self, **request: Any) -> dict[str, Any]:
        """The reply to a request. Raises InputError where it takes too long or the process dies."""
        try:
            line = json.dumps(request).encode("ascii") + b"\n"
        except (ValueError, RecursionError) as error:
            raise InputError(f"the conversation can't be given to a chat template: {error}") from None
        with self.within(SECONDS):
            process = self._started()
            try:
                reply = self._exchange(process, line)
            except BaseException:  # such as Ctrl-C: a late reply must not answer the next request
                self.close()
                raise
            if reply is None:
                self.close()
                message = f"the chat template ended its process with status {process.returncode}"
                raise InputError(f"{message}; check the model's template")
            return reply

    def _exchange(self, process: subprocess.Popen[bytes], line: bytes) -> dict[str, Any] | None:
        """None where the process has ended or its output is no reply."""
        assert process.stdin
        try:
            process.stdin.write(line)
            process.stdin.flush()
            reply = json.loads(self._receive())
        except (OSError, ValueError, RecursionError):
            return None
        return reply if isinstance(reply, dict) else None

    def _receive(self) -> bytes:
        while (left := self._left()) > 0:
            with suppress(Empty):
                return self._replies.get(timeout=max(left, 0.01))
        self._late = True
        raise InputError("no time is left")

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process, self._replies = _start()
        return self._process

    def close(self) -> None:
        """Ends the process, if there is one; the next request starts another."""
        with self._lock:
            process, self._process = self._process, None
            if process is not None:
                _end(process)

    def forget(self) -> None:
        """In a forked child: the process is the parent's."""
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                pipe.raw.close()  # type: ignore[union-attr]  # without flushing the parent's data
            self._process.returncode = 0  # Popen must not wait for it
        self._reset()


def _cpu_time(process: subprocess.Popen[bytes]) -> float | None:
    """CPU seconds; None where the system does not report them, or the process has ended."""
    if sys.platform != "linux" or process.returncode is not None:
        return None
    with suppress(OSError):
        return time.clock_gettime(~process.pid << 3 | 2)  # clock_getcpuclockid(3): CPUCLOCK_SCHED of a process
    return None


def _start() -> tuple[subprocess.Popen[bytes], SimpleQueue[bytes]]:
    """The process, ready for requests, and its lines of output; an empty one is its end."""
    command = _command()
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in _KEPT if name in os.environ},
            cwd=_PROGRAM.parent,
        )
    except (OSError, NotImplementedError) as error:
        raise _cannot(str(error)) from error
    replies: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_read, args=(process.stdout, replies), daemon=True).start()
    try:
        version = _version(process, replies)
        if _numbers(version) < LEAST:
            least = ".".join(map(str, LEAST))
            raise UnsupportedError(
                f"jinja2 {version} lets a chat template escape its sandbox (CVE-2025-27516); "
                f"run: pip install 'jinja2>={least}'"
            )
    except BaseException:
        _end(process)
        raise
    return process, replies


def _read(stream: IO[bytes], replies: SimpleQueue[bytes]) -> None:
    with suppress(OSError, ValueError):  # closed
        while line := stream.readline(_MOST_REPLY):
            replies.put(line)
    replies.put(b"")


def _version(process: subprocess.Popen[bytes], replies: SimpleQueue[bytes]) -> str:
    """Jinja's version, which the process writes when it is ready."""
    try:
        return str(json.loads(replies.get(timeout=_START))["jinja2"])
    except (Empty, ValueError, LookupError, TypeError):
        process.kill()
        raise _cannot(f"{sys.executable} ended with status {process.wait()}") from None


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    process.wait()


def _command() -> list[str]:
    specs = {name: find_spec(name) for name in ("jinja2", "markupsafe")}
    if not all(specs.values()):
        raise MissingExtraError("jinja2", "gguf")
    if getattr(sys, "frozen", False) or not sys.executable or not _PROGRAM.is_file():
        raise _cannot("a frozen application has no interpreter to start")
    folders = {str(Path(str(spec.origin)).parents[1]): None for spec in specs.values() if spec is not None}
    return [sys.executable, "-I", "-S", str(_PROGRAM), *folders]


def _cannot(reason: str) -> UnsupportedError:
    return UnsupportedError(
        f"a chat template needs a Python child process, which can't be started here: {reason}; "
        "use a .tin, whose template is compiled"
    )


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split(".")[:3]
    return tuple(int(part) if part.isdecimal() else 0 for part in parts)


_shared = JinjaProcess()
atexit.register(_shared.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_shared.forget)

within = _shared.within
close = _shared.close


def render(template: str, given: Mapping[str, Any]) -> dict[str, Any]:
    return _shared.ask(do="render", template=template, given=given)


def examine(template: str) -> dict[str, Any]:
    return _shared.ask(do="examine", template=template)
