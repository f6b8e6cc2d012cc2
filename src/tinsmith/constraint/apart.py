"""Constraints of requests from outside, compiled in a process of their own, within the limits of `limits`."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from threading import Timer
from typing import Any

from tinsmith.constraint import Constraint, limits
from tinsmith.errors import ConstraintError
from tinsmith.system import children

_WALL = 60.0  # seconds: of a process that does not end by itself, as on a machine that has other work


def check_size(what: object) -> str:
    """As JSON. Raises ConstraintError for a schema or tools that are too large to look at."""
    line = json.dumps(what)
    if len(line) > limits.SCHEMA:
        raise ConstraintError(f"{len(line):,} bytes of a schema or of tools; give at most {limits.SCHEMA:,}")
    return line


class Apart:
    """The process is started by the first request, and again after one that it did not survive."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def compiled(self, request: Mapping[str, Any]) -> Constraint:
        """Of a request that `compiler` knows. Raises ConstraintError for one that can't be enforced, or is
        beyond a limit."""
        answer = self._exchange(check_size(request).encode() + b"\n")
        if not answer:
            self.close()
            raise ConstraintError("compiling takes too much time or memory; simplify it")
        reply = json.loads(answer)
        if "error" in reply:
            raise ConstraintError(reply["error"])
        return Constraint.of_bytes(reply["kind"], base64.b64decode(reply["data"]))

    def _exchange(self, line: bytes) -> bytes:
        """Nothing of a process that ended."""
        process = self._started()
        assert process.stdin and process.stdout
        timer = Timer(_WALL, process.kill)
        timer.start()
        try:
            process.stdin.write(line)
            process.stdin.flush()
            return process.stdout.readline()
        except OSError:
            return b""
        finally:
            timer.cancel()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            words = ("-m", "tinsmith.constraint.compiler", str(limits.AUTOMATON), str(limits.SECONDS))
            self._process = subprocess.Popen(
                children.python(*words),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=children.environment(),
            )
            assert self._process.stdout
            self._process.stdout.readline()
        return self._process

    def close(self) -> None:
        """Ends the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            with suppress(OSError):  # of what it did not take
                process.communicate()
