"""Parses untrusted files in a child process with limits, so that a file that crashes or hangs its parser fails
alone.

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

from tinsmith.system import children

MEMORY = 2 << 30  # bytes of address space
WALL = 10  # multiple of the CPU time after which a child counts as hung
Answer = dict[str, Any]


class Ended(Exception):
    """The child ended without an answer. late: it exceeded its time. status: its exit status."""

    def __init__(self, late: bool, status: int) -> None:
        super().__init__(f"ended with status {status}")
        self.late, self.status = late, status


class Child:
    """A child that runs a module whose main() calls `serve`. It starts on demand, ends with this process, and
    answers requests one at a time."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        atexit.register(self.close)

    def ask(self, request: Answer, seconds: float) -> Answer:
        """seconds: of CPU time. Raises Ended."""
        line = json.dumps({"seconds": seconds, "request": request}).encode() + b"\n"
        with self._lock:
            child, hung = self._started(), threading.Event()

            def stop() -> None:
                hung.set()
                child.kill()

            clock = threading.Timer(WALL * seconds, stop)
            clock.start()
            answer = b""
            try:
                assert child.stdin is not None and child.stdout is not None  # both are pipes
                child.stdin.write(line)
                child.stdin.flush()
                answer = child.stdout.readline()
            except OSError:  # it ended before it read the whole request
                pass
            except BaseException:
                self.close()
                raise
            finally:
                clock.cancel()
            if not answer.endswith(b"\n"):
                status = self.close()
                raise Ended(hung.is_set() or status == -getattr(signal, "SIGXCPU", 0), status)
        read: Answer = json.loads(answer)
        return read

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            self._child = subprocess.Popen(
                children.python("-m", self._module),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=children.environment(),
            )
        return self._child

    def close(self) -> int:
        """Ends the child. Returns its status."""
        child, self._child = self._child, None
        if child is None:
            return 0
        for pipe in filter(None, (child.stdin, child.stdout)):
            with suppress(OSError):  # unread data
                pipe.close()
        try:
            return child.wait(2)
        except subprocess.TimeoutExpired:
            child.kill()
            return child.wait()


def serve(work: Callable[[Answer], Answer]) -> None:
    """In the child: answers requests until stdin ends."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # libraries print to stderr
    _limit_memory()
    for line in sys.stdin.buffer:
        message = json.loads(line)
        _limit_time(message["seconds"])
        out.write(json.dumps(work(message["request"])).encode() + b"\n")
        out.flush()


def _limit_memory() -> None:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    except (ImportError, OSError, ValueError):  # Windows, or a system without this limit or with a lower one
        pass


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
