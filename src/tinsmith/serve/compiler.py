"""Compiles constraints of requests in child processes, within a time limit and off the event loop."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections import OrderedDict
from typing import Any

from tinsmith.constraint import Constraint
from tinsmith.errors import ConstraintError
from tinsmith.serve.errors import ApiError
from tinsmith.serve.fair_queue import FairLimiter
from tinsmith.serve.limits import Limits
from tinsmith.system import children

_CACHED = 64  # constraints
_PROCESSES = 2
_MAX_WAITING = 16  # schemas of one client
_START_SECONDS = 60.0  # an interpreter starts slowly on a busy machine
_Process = asyncio.subprocess.Process


class ConstraintCompiler:
    """Runs two processes, and one schema per client at a time, so that clients do not block each other."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._limiter = FairLimiter(_PROCESSES, per_client=1, max_waiting=_MAX_WAITING, what="schemas")
        self._idle: list[_Process] = []
        self._cache: OrderedDict[tuple[str, str], Constraint | ConstraintError] = OrderedDict()
        self.seconds = 0.0

    async def compile(self, client: str, param: str, request: dict[str, Any]) -> Constraint:
        """Compiles a request to tinsmith.constraint.compiler.

        The cache is per client, so that response times reveal nothing about other clients. param: the request's
        field, for errors."""
        line = json.dumps(request, ensure_ascii=True, sort_keys=False)
        if len(line) > self._limits.schema:
            message = f"{param}: {len(line):,} bytes; the maximum is {self._limits.schema:,}"
            raise ApiError(400, message, param, "too_large")
        key = (client, line)
        result = self._cache.get(key)
        if result is None:
            async with self._limiter.slot(client):
                result = self._cache.get(key)  # another request may have compiled it meanwhile
                if result is None:
                    result = self._cache[key] = await self._compile(line)
        self._cache.move_to_end(key)
        while len(self._cache) > _CACHED:
            self._cache.popitem(last=False)
        if isinstance(result, ConstraintError):
            raise ApiError(400, f"{param}: {result}", param, "invalid_schema")
        return result

    async def _compile(self, line: str) -> Constraint | ConstraintError:
        self._idle = [one for one in self._idle if one.returncode is None]
        process = self._idle.pop() if self._idle else await _start(self._limits.automaton)
        started, reply = time.monotonic(), None
        try:
            async with asyncio.timeout(self._limits.compile_seconds):
                request = f'{{"most": {self._limits.automaton}, "terms": {line}}}'
                reply = await _exchange(process, f'{{"seconds": 60, "request": {request}}}')
        except TimeoutError:
            return ConstraintError(
                f"compiling takes over {self._limits.compile_seconds:g} seconds; simplify it"
            )
        finally:
            self.seconds += time.monotonic() - started
            if reply is None:  # also after a cancellation: its late reply must not answer the next request
                await _stop(process)
            else:
                self._idle.append(process)
        if reply is None:
            return ConstraintError("compiling takes too much memory; simplify it")
        if "error" in reply:
            return ConstraintError(reply["error"])
        return Constraint.of_bytes(reply["kind"], base64.b64decode(reply["data"]))

    async def close(self) -> None:
        while self._idle:
            await _stop(self._idle.pop())


async def _exchange(process: _Process, line: str) -> dict[str, Any] | None:
    """None where the process has died or its reply is too long."""
    assert process.stdin and process.stdout
    try:
        process.stdin.write(line.encode() + b"\n")
        await process.stdin.drain()
        reply = await process.stdout.readline()
    except (OSError, ValueError):
        return None
    return dict(json.loads(reply)) if reply else None


async def _start(automaton: int) -> _Process:
    process = await asyncio.create_subprocess_exec(
        *children.python("-m", "tinsmith.constraint.compiler"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=children.environment(),
        limit=2 * automaton + (1 << 16),
    )
    assert process.stdout
    try:
        async with asyncio.timeout(_START_SECONDS):
            await process.stdout.readline()
    except BaseException:
        await _stop(process)
        raise
    return process


async def _stop(process: _Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.communicate()
