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
from tinsmith.serve.fair import Gate
from tinsmith.serve.faults import Refused
from tinsmith.serve.limits import Limits
from tinsmith.system import children

_KEPT = 64
_PROCESSES = 2
_WAITING = 16  # schemas of one client
_START = 60.0  # seconds: a busy machine's first start of an interpreter
_PROGRAM = "tinsmith.constraint.compiler"
_Process = asyncio.subprocess.Process


class Compiler:
    """Two processes, of which a client has one at a time: no one's schemas keep the others waiting."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._gate = Gate(_PROCESSES, each=1, most=_WAITING, what="schemas")
        self._idle: list[_Process] = []
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
        made = self._known.get(key)
        if made is None:
            async with self._gate.place(scope):
                made = self._known.get(key)  # by another of this client's, meanwhile
                if made is None:
                    made = self._known[key] = await self._made(line)
        self._known.move_to_end(key)
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
        if isinstance(made, ConstraintError):
            raise Refused(400, f"{param}: {made}", param, "invalid_schema")
        return made

    async def _made(self, line: str) -> Constraint | ConstraintError:
        idle = next((one for one in self._idle if one.returncode is None), None)
        self._idle = [one for one in self._idle if one is not idle and one.returncode is None]
        process = idle or await _started(self._limits.automaton)
        begun, reply = time.monotonic(), None
        try:
            async with asyncio.timeout(self._limits.compiling):
                reply = await _exchange(process, line)
        except TimeoutError:
            return ConstraintError(f"compiling takes over {self._limits.compiling:g} seconds; simplify it")
        finally:
            self.seconds += time.monotonic() - begun
            if reply is None:  # a cancelled request among them: its reply is not the next one's
                await _end(process)
            else:
                self._idle.append(process)
        if reply is None:
            return ConstraintError("compiling takes too much memory; simplify it")
        if "error" in reply:
            return ConstraintError(reply["error"])
        return Constraint.of_bytes(reply["kind"], base64.b64decode(reply["data"]))

    async def close(self) -> None:
        while self._idle:
            await _end(self._idle.pop())


async def _exchange(process: _Process, line: str) -> dict[str, Any] | None:
    """None where it has ended, or its reply is past the reader's limit."""
    assert process.stdin and process.stdout
    try:
        process.stdin.write(line.encode() + b"\n")
        await process.stdin.drain()
        answer = await process.stdout.readline()
    except (OSError, ValueError):
        return None
    return dict(json.loads(answer)) if answer else None


async def _started(automaton: int) -> _Process:
    process = await asyncio.create_subprocess_exec(
        *children.python("-m", _PROGRAM, str(automaton)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=children.environment(),
        limit=2 * automaton + (1 << 16),
    )
    assert process.stdout
    try:
        async with asyncio.timeout(_START):
            await process.stdout.readline()
    except BaseException:
        await _end(process)
        raise
    return process


async def _end(process: _Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.communicate()
