"""Handles untrusted input in a child process with limits, so that input that crashes or hangs it fails alone.

A request and its answer are a line of JSON each. A request that exceeds its CPU time ends the child; the next
request starts a new one.
"""

from __future__ import annotations

import atexit
import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from weakref import WeakSet

from tinsmith.system import children

MEMORY = 2 << 30  # bytes of address space
WALL = 10  # multiple of the CPU time after which a child counts as hung
_MOST_ANSWER = 128 << 20  # bytes
Answer = dict[str, Any]


class Ended(Exception):
    """The child ended without an answer. late: it exceeded its time. status: its exit status."""

    def __init__(self, late: bool, status: int) -> None:
        super().__init__(f"ended with status {status}")
        self.late, self.status = late, status


_children: WeakSet[Child] = WeakSet()


@atexit.register
def _close_all() -> None:
    for child in list(_children):
        child.close()


def _forget_all() -> None:
    for child in list(_children):
        child._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


class Child:
    """A child that runs a module whose main() calls `serve`. It starts on demand, ends with this process, and
    answers requests one at a time."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._reset()
        _children.add(self)

    def _reset(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.RLock()

    def _forget(self) -> None:
        """In a forked child: the process is the parent's."""
        if self._child is not None:
            for pipe in (self._child.stdin, self._child.stdout):
                pipe.raw.close()  # type: ignore[union-attr]  # without flushing the parent's data
            self._child.returncode = 0  # Popen must not wait for it
        self._reset()

    def ask(self, request: Answer, seconds: float) -> Answer:
        """seconds: of CPU time. Raises Ended."""
        line = json.dumps({"seconds": seconds, "request": request}).encode() + b"\n"
        with self._lock:
            if self._child is None or self._child.poll() is not None:
                self.close()
                self._child = self._start()
            child, hung = self._child, threading.Event()

            def stop() -> None:
                hung.set()
                child.kill()

            clock = threading.Timer(WALL * seconds, stop)
            clock.start()
            try:
                return dict(json.loads(self._exchange(child, line)))
            except (OSError, TypeError, ValueError, RecursionError):  # it ended, or is no longer to be trusted
                status = self.close()
                raise Ended(hung.is_set() or status == -getattr(signal, "SIGXCPU", 0), status) from None
            except BaseException:  # such as Ctrl-C: a late answer must not be taken for the next one's
                self.close()
                raise
            finally:
                clock.cancel()

    def _exchange(self, child: subprocess.Popen[bytes], line: bytes) -> bytes:
        assert child.stdin is not None and child.stdout is not None  # both are pipes
        child.stdin.write(line)
        child.stdin.flush()
        return child.stdout.readline(_MOST_ANSWER)

    def _start(self) -> subprocess.Popen[bytes]:
        """The child, ready for requests."""
        child = subprocess.Popen(
            children.python("-m", self._module),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=children.environment(),
        )
        assert child.stdout is not None
        child.stdout.readline()
        return child

    def close(self) -> int:
        """Ends the child; the next request starts another. Returns its status."""
        with self._lock:
            child, self._child = self._child, None
            return 0 if child is None else end(child)


def end(child: subprocess.Popen[bytes]) -> int:
    child.kill()
    for pipe in filter(None, (child.stdin, child.stdout)):
        with suppress(OSError):  # unread data
            pipe.close()
    return child.wait()


def serve(work: Callable[[Answer], Answer]) -> None:
    """In the child: answers requests until stdin ends."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # libraries print to stderr
    _limit_memory()
    with suppress(AttributeError, OSError):
        os.nice(5)  # the parent comes first
    out.write(b"{}\n")
    out.flush()
    for line in sys.stdin.buffer:
        message = json.loads(line)
        _limit_time(message["seconds"])
        out.write(json.dumps(work(message["request"])).encode() + b"\n")
        out.flush()


def _limit_memory() -> None:
    # Windows, or a system without this limit or with a lower one.
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def _limit_time(seconds: float) -> None:
    """Has the system end this process by SIGXCPU after `seconds` more CPU time."""
    if sys.platform == "win32":  # only the wall-clock limit applies
        return
    import resource

    usage, (_, most) = resource.getrusage(resource.RUSAGE_SELF), resource.getrlimit(resource.RLIMIT_CPU)
    until = math.ceil(usage.ru_utime + usage.ru_stime + seconds)
    resource.setrlimit(
        resource.RLIMIT_CPU, (until if most == resource.RLIM_INFINITY else min(until, most), most)
    )
