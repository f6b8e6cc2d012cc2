"""Constraints of requests, compiled in a process of their own: with a limit of time, and off the event loop."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections import OrderedDict
from typing import Any

from tinsmith.constraint import Constraint
from tinsmith.errors import ConstraintError
from tinsmith.serve.faults import Refused
from tinsmith.serve.limits import Limits
from tinsmith.system import children

_KEPT = 64
_WAITING = 16  # requests for the process at once
_START = 60.0  # seconds: a busy machine's first start of an interpreter
_PROGRAM = "tinsmith.constraint.compiler"


class Compiler:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = asyncio.Lock()
        self._waiting = 0
        self._process: asyncio.subprocess.Process | None = None
        self._known: OrderedDict[tuple[str, str], Constraint | ConstraintError] = OrderedDict()
        self.seconds = 0.0

    async def compiled(self, scope: str, param: str, request: dict[str, Any]) -> Constraint:
        """Of a request that compiler.py knows, made once in a scope: how long it takes tells nobody what others
        asked. param: the field that it came in.

        Raises ConstraintError for what can't be enforced, Refused for what is too large or takes too long.
        """
        line = json.dumps(request, ensure_ascii=True, sort_keys=False)
        if len(line) > self._limits.schema:
            raise Refused(400, f"{len(line):,} bytes; give at most {self._limits.schema:,}", param, "too_large")
        key = (scope, line)
        if key not in self._known:
            await self._make(key)
        self._known.move_to_end(key)
        made = self._known[key]
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
        if isinstance(made, ConstraintError):
            raise Refused(400, f"{param}: {made}", param, "invalid_schema")
        return made

    async def _make(self, key: tuple[str, str]) -> None:
        if self._waiting >= _WAITING:
            raise Refused(
                503, "too many schemas wait to be compiled; ask again later", code="overloaded", after=1
            )
        self._waiting += 1
        try:
            async with self._lock:
                if key not in self._known:
                    self._known[key] = await self._asked(key[1])
        finally:
            self._waiting -= 1

    async def _asked(self, line: str) -> Constraint | ConstraintError:
        process = await self._started()
        begun = time.monotonic()
        try:
            async with asyncio.timeout(self._limits.compiling):
                reply = await self._exchange(process, line)
        except BaseException as error:  # a cancelled request among them: its reply is not the next one's
            await self.close()
            if isinstance(error, TimeoutError):
                return ConstraintError(f"compiling takes over {self._limits.compiling:g} seconds; simplify it")
            raise
        finally:
            self.seconds += time.monotonic() - begun
        if reply is None:
            await self.close()
            return ConstraintError("compiling takes too much memory; simplify it")
        if "error" in reply:
            return ConstraintError(reply["error"])
        return Constraint.of_bytes(reply["kind"], base64.b64decode(reply["data"]))

    @staticmethod
    async def _exchange(process: asyncio.subprocess.Process, line: str) -> dict[str, Any] | None:
        assert process.stdin and process.stdout
        try:
            process.stdin.write(line.encode() + b"\n")
            await process.stdin.drain()
            answer = await process.stdout.readline()
        except (OSError, ValueError):  # it has ended; its reply is past the reader's limit
            return None
        return dict(json.loads(answer)) if answer else None

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                *children.python("-m", _PROGRAM, str(self._limits.automaton)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=children.environment(),
                limit=2 * self._limits.automaton + (1 << 16),
            )
            assert self._process.stdout
            async with asyncio.timeout(_START):
                await self._process.stdout.readline()
        return self._process

    async def close(self) -> None:
        """Ends the process; the next request starts another."""
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.communicate()
