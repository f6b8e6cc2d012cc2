"""Chat templates are read and rendered in a process of their own, with limits (chat/jinja.py).

It is started when the first template is asked about, answers one request after another, and ends with `close`,
with this process, or when it takes too long; then the next request starts another. It is this interpreter
without environment, site packages or the current folder: `sys.executable -I -S`.

Time is limited everywhere: the process's own where the system says it (Linux), which a busy machine does not
take up, else the clock's. Memory is where the system can (`resource.RLIMIT_AS`: Linux and the BSDs; not macOS
and Windows). Where no such process can be started, as in a frozen application, in WebAssembly and on phones,
templates can't be read: UnsupportedError. A .tin needs none of this: its template was compiled when it was
built.
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
SECONDS = 10.0  # one rendering takes well under a millisecond
WALL = 10  # times its own time, after which the process counts as hung
_START = 60.0  # a busy machine's first start of an interpreter
_MOST_REPLY = 128 << 20  # bytes
# Before 3.1.6 a template could leave the sandbox (CVE-2025-27516).
LEAST = (3, 1, 6)
# What an interpreter may need to start: the system's folder, and where its own library lies.
_KEPT = ("SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


class _Watch:
    """Calls `late` where a time ends before it is called off, and again after the seconds that it may give.
    One thread watches all times, since to start one takes several times as long as a rendering."""

    def __init__(self, late: Callable[[], float | None]) -> None:
        self._late = late
        self._changed = threading.Condition()
        self._end: float | None = None
        self._wakes: float | None = None  # when the thread looks again; None: not before it is told to
        self._thread: threading.Thread | None = None

    def begin(self, seconds: float) -> None:
        with self._changed:
            self._end = time.monotonic() + seconds
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, daemon=True)
                self._thread.start()
            elif self._wakes is None or self._wakes > self._end:
                self._changed.notify()

    def call_off(self) -> None:
        """From here on the time is not late any more."""
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
    """One such process at a time, and one thread's requests at a time."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._watch = _Watch(self._expire)
        self._process: subprocess.Popen[bytes] | None = None
        self._limit = 0.0  # seconds of the time that is running; 0: none is
        self._began = 0.0
        self._spent: tuple[int, float] = (0, 0.0)  # the process at that time, and what it had of the processor
        self._late = False

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """All requests of the block together take at most so long, or it ends in an InputError that says so,
        whatever was made of the request that was cut short. Of nested blocks the outermost counts."""
        with self._lock:
            if self._limit:
                yield
                return
            process = self._started()  # an interpreter's start is not the template's time
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
                self._watch.call_off()
            if self._late:
                raise late

    def ask(self, **request: Any) -> dict[str, Any]:
        """The reply to one request. Raises InputError where it takes too long or is none."""
        try:
            line = json.dumps(request).encode("ascii") + b"\n"
        except (ValueError, RecursionError) as error:
            raise InputError(f"the conversation can't be given to a chat template: {error}") from None
        with self.within(SECONDS):
            process = self._started()
            if self._late:  # asked last: from here on whoever is late ends this process
                raise InputError("no time is left")
            try:
                reply = self._exchange(process, line)
            except BaseException:  # a Ctrl-C among them: what it was doing is not to be read as the next reply
                self.close()
                raise
            if reply is None:
                self.close()
                raise InputError(
                    f"the chat template ends the process that reads it (status {process.returncode}); "
                    "check the model's template"
                )
            return reply

    def _exchange(self, process: subprocess.Popen[bytes], line: bytes) -> dict[str, Any] | None:
        """None where the process has ended, or what it says is no reply."""
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
        """Ends the process, or gives the seconds that it may still have."""
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
            if process is None:
                return
            _end(process)

    def forget(self) -> None:
        """In a forked child: the process is the parent's."""
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                pipe.raw.close()  # type: ignore[union-attr]  # without writing what the parent has still to write
            self._process.returncode = 0  # so that nobody waits for it
        self._reset()


def _processor_time(process: subprocess.Popen[bytes]) -> float | None:
    """Seconds that it had; None where the system does not say, or the process has ended."""
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
                f"jinja2 {version} lets a chat template out of its sandbox (CVE-2025-27516); "
                f"run: pip install 'jinja2>={least}'"
            )
    except BaseException:
        _end(process)
        raise
    return process


def _hello(process: subprocess.Popen[bytes]) -> str:
    """Jinja's version, which the process says when it is ready."""
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
        f"a chat template is read in a Python process of its own, which can't be started here: {reason}; "
        "take a .tin, whose template is compiled"
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
