"""Constraints of requests from outside, compiled in a separate process within `limits`."""

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

_WALL = 60.0  # seconds until a process that does not end by itself is killed


def check_size(what: object, most: int = limits.SCHEMA) -> str:
    """The JSON of a schema or of tools. Raises ConstraintError if it exceeds `most` bytes."""
    line = json.dumps(what)
    if len(line) > most:
        raise ConstraintError(f"the schema or tools have {len(line):,} bytes; give at most {most:,}")
    return line


class Apart:
    """The first request starts the process, and so does the next one after the process dies."""

    def __init__(
        self, schema: int = limits.SCHEMA, automaton: int = limits.AUTOMATON, seconds: float | None = None
    ) -> None:
        """The limits of a request; seconds: of processor time, or None for limits.SECONDS."""
        self._schema = schema
        self._arguments = str(automaton), str(seconds or limits.SECONDS)
        self._process: subprocess.Popen[bytes] | None = None

    def compiled(self, request: Mapping[str, Any]) -> Constraint:
        """Compiles a request in the form that compiler.py reads. Raises ConstraintError if it can't be enforced
        or exceeds a limit."""
        answer = self._exchange(check_size(request, self._schema).encode() + b"\n")
        if not answer:
            self.close()
            raise ConstraintError("compiling takes too much time or memory; simplify it")
        reply = json.loads(answer)
        if "error" in reply:
            raise ConstraintError(reply["error"])
        return Constraint.of_bytes(reply["kind"], base64.b64decode(reply["data"]))

    def _exchange(self, line: bytes) -> bytes:
        """Sends a request; returns the reply, empty if the process ended."""
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
            self._process = subprocess.Popen(
                children.python("-m", "tinsmith.constraint.compiler", *self._arguments),
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
            with suppress(OSError):  # the process never read its last request
                process.communicate()
