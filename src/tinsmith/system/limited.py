"""Work on a file from outside, by a child process with limits: what a file does to its parser costs that file.

A request and its answer are a line of JSON each. The child ends when a request takes more than its processor
time, and the next request gets a new one.
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
WALL = 10  # times the processor time, after which a child counts as hung
Answer = dict[str, Any]


class Ended(Exception):
    """The child ended without an answer. late: because its time was over; status: how it ended."""

    def __init__(self, late: bool, status: int) -> None:
        super().__init__(f"ended with status {status}")
        self.late, self.status = late, status


class Child:
    """Of a module whose main() is `serve`. It is started when it is needed, ends with this process, and answers
    one request after another."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        atexit.register(self.close)

    def ask(self, request: Answer, seconds: float) -> Answer:
        """seconds: of processor time. Raises Ended."""
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
            except OSError:  # it ended before it had read all
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
            with suppress(OSError):  # of what it never read
                pipe.close()
        try:
            return child.wait(2)
        except subprocess.TimeoutExpired:
            child.kill()
            return child.wait()


def serve(work: Callable[[Answer], Answer]) -> None:
    """In the child: answers requests until there are no more."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    _limit_memory()
    for line in sys.stdin.buffer:
        asked = json.loads(line)
        _limit_time(asked["seconds"])
        out.write(json.dumps(work(asked["request"])).encode() + b"\n")
        out.flush()


def _limit_memory() -> None:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    except (ImportError, OSError, ValueError):  # Windows; a system without this limit, or with a lower one
        pass


def _limit_time(seconds: float) -> None:
    """From now on: the system ends a process that takes more, by SIGXCPU."""
    if sys.platform == "win32":  # where the clock's limit alone counts
        return
    import resource

    usage, (_, most) = resource.getrusage(resource.RUSAGE_SELF), resource.getrlimit(resource.RLIMIT_CPU)
    until = math.ceil(usage.ru_utime + usage.ru_stime + seconds)
    resource.setrlimit(
        resource.RLIMIT_CPU, (until if most == resource.RLIM_INFINITY else min(until, most), most)
    )
