"""Compiles constraints of requests in child processes, within a time limit and off the event loop."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from functools import partial
from typing import Any

from tinsmith.constraint import Constraint
from tinsmith.constraint.apart import Apart
from tinsmith.errors import ConstraintError
from tinsmith.serve.errors import ApiError
from tinsmith.serve.fair_queue import FairThreadPool
from tinsmith.serve.limits import Limits

_CACHED = 64  # constraints
_PROCESSES = 2
_MAX_WAITING = 16  # schemas of one client


class ConstraintCompiler:
    """Runs two processes, and one schema per client at a time, so that clients do not block each other."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.threads = FairThreadPool(
            _PROCESSES, per_client=1, max_waiting=_MAX_WAITING, what="schemas", name="tinsmith schemas"
        )
        self._idle = [Apart(limits.schema, limits.automaton, limits.compile_seconds) for _ in range(_PROCESSES)]
        self._cache: OrderedDict[tuple[str, str], Constraint | ConstraintError] = OrderedDict()
        self.seconds = 0.0

    async def compile(self, client: str, param: str, request: dict[str, Any]) -> Constraint:
        """Compiles a request to tinsmith.constraint.compiler.

        The cache is per client, so that response times reveal nothing about other clients. param: the request's
        field, for errors."""
        line = json.dumps(request)
        if len(line) > self._limits.schema:
            message = f"{param}: {len(line):,} bytes; the maximum is {self._limits.schema:,}"
            raise ApiError(400, message, param, "too_large")
        key = (client, line)
        result = self._cache.get(key)
        if result is None:
            result = await self.threads.run(client, partial(self._compile, key, request))
        self._cache[key] = result
        self._cache.move_to_end(key)
        while len(self._cache) > _CACHED:
            self._cache.popitem(last=False)
        if isinstance(result, ConstraintError):
            raise ApiError(400, f"{param}: {result}", param, "invalid_schema")
        return result

    def _compile(self, key: tuple[str, str], request: dict[str, Any]) -> Constraint | ConstraintError:
        if known := self._cache.get(key):  # the client's request before this one compiled it
            return known
        process, started = self._idle.pop(), time.monotonic()
        result: Constraint | ConstraintError
        try:
            result = process.compiled(request)
        except ConstraintError as error:
            result = error
        finally:
            self.seconds += time.monotonic() - started
            self._idle.append(process)
        self._cache[key] = result
        return result

    def close(self) -> None:
        self.threads.close()
        for process in self._idle:
            process.close()
