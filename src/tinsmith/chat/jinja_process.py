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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

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


class _Watch:
    """Calls `late` at a deadline, and again after the seconds that it returns. One thread serves all deadlines:
    starting one takes several times as long as a rendering."""

    def __init__(self, late: Callable[[], float | None]) -> None:
        self._late = late
        self._changed = threading.Condition()
        self._end: float | None = None
        self._wakes: float | None = None  # time at which the thread wakes; None: when notified
        self._thread: threading.Thread | None = None

    def begin(self, seconds: float) -> None:
        with self._changed:
            self._end = time.monotonic() + seconds
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, daemon=True)
                self._thread.start()
            elif self._wakes is None or self._wakes > self._end:
                self._changed.notify()

    def cancel(self) -> None:
        with self._changed:
            self._end = None

    def _watch(self) -> None:
        with self._changed:
            while True:
                if self._end is not None and time.monotonic() >= self._end:
                    more = self._late()
                    self._end = None if more is None else time.monotonic() + more
                self._wakes = self._end
                self._changed.wait(None if self._end is None else max(0.0, self._end - time.monotonic()))


class JinjaProcess:
    """Runs one process at a time, for one thread at a time."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._watch = _Watch(self._expire)
        self._process: subprocess.Popen[bytes] | None = None
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
            self._began, self._spent = time.monotonic(), (process.pid, _processor_time(process) or 0.0)
            self._limit, self._late = seconds, False
            late = InputError(
                f"the chat template takes too long: over {seconds:g} seconds; check the model's template"
            )
            self._watch.begin(seconds)
            try:
                yield
            except TinsmithError:
                if self._late:
                    raise late from None
                raise
            finally:
                self._limit = 0.0
                self._watch.cancel()
            if self._late:
                raise late

    def ask(self, **request: Any) -> dict[str, Any]:
        """The reply to a request. Raises InputError where it takes too long or the process dies."""
        try:
            line = json.dumps(request).encode("ascii") + b"\n"
        except (ValueError, RecursionError) as error:
            raise InputError(f"the conversation can't be given to a chat template: {error}") from None
        with self.within(SECONDS):
            process = self._started()
            if self._late:  # checked last: a later expiry ends this process
                raise InputError("no time is left")
            try:
                reply = self._exchange(process, line)
            except BaseException:  # such as Ctrl-C: a late reply must not answer the next request
                self.close()
                raise
            if reply is None:
                self.close()
                raise InputError(
                    f"the chat template's process died (status {process.returncode}); "
                    "check the model's template"
                )
            return reply

    def _exchange(self, process: subprocess.Popen[bytes], line: bytes) -> dict[str, Any] | None:
        """None where the process has ended or its output is no reply."""
        assert process.stdin and process.stdout
        try:
            process.stdin.write(line)
            process.stdin.flush()
            answer = process.stdout.readline(_MOST_REPLY)
            reply = json.loads(answer)
        except (OSError, ValueError, RecursionError):
            return None
        return reply if isinstance(reply, dict) else None

    def _expire(self) -> float | None:
        """Kills the process, or returns the seconds that it has left."""
        process = self._process
        used = None if process is None else _processor_time(process)
        if process is not None and used is not None:
            left = self._limit - (used - self._spent[1] if process.pid == self._spent[0] else used)
            if left > 0 and time.monotonic() < self._began + WALL * self._limit:
                return max(left, 0.01)
        self._late = True
        if process is not None:
            process.kill()
        return None

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = _start()
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


def _processor_time(process: subprocess.Popen[bytes]) -> float | None:
    """CPU seconds; None where the system does not report them, or the process has ended."""
    if sys.platform != "linux" or process.returncode is not None:
        return None
    with suppress(OSError):
        return time.clock_gettime(~process.pid << 3 | 2)  # clock_getcpuclockid(3): CPUCLOCK_SCHED of a process
    return None


def _start() -> subprocess.Popen[bytes]:
    """The process, ready for requests."""
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
    try:
        version = _hello(process)
        if _numbers(version) < LEAST:
            least = ".".join(map(str, LEAST))
            raise UnsupportedError(
                f"jinja2 {version} lets a chat template escape its sandbox (CVE-2025-27516); "
                f"run: pip install 'jinja2>={least}'"
            )
    except BaseException:
        _end(process)
        raise
    return process


def _hello(process: subprocess.Popen[bytes]) -> str:
    """Jinja's version, which the process writes when it is ready."""
    timer = threading.Timer(_START, process.kill)
    timer.daemon = True
    timer.start()
    assert process.stdout
    try:
        return str(json.loads(process.stdout.readline(1000))["jinja2"])
    except (OSError, ValueError, LookupError, TypeError):
        process.kill()
        raise _cannot(f"{sys.executable} ended with status {process.wait()}") from None
    finally:
        timer.cancel()
        timer.join()


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


def render(template: str, date: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
    return _shared.ask(do="render", template=template, date=date, given=given)


def examine(template: str) -> dict[str, Any]:
    return _shared.ask(do="examine", template=template)
