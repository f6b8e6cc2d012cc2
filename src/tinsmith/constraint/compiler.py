"""The process that compiles constraints of requests: one JSON request and one JSON reply per line.

    python -m tinsmith.constraint.compiler AUTOMATON [SECONDS]

AUTOMATON: most bytes of a constraint. SECONDS: CPU time for each; 0 for no limit.
A request is {"schema": …}, or {"tools": […], "format", "parallel", "none", "talk", "controls": {text: id}}.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import sys
from contextlib import suppress
from typing import Any

from tinsmith.constraint import Constraint
from tinsmith.constraint.calls.tools import compile_tools
from tinsmith.constraint.json_schema import compile_schema
from tinsmith.constraint.limits import MEMORY
from tinsmith.errors import TinsmithError


def compiled(request: dict[str, Any]) -> Constraint:
    if "schema" in request:
        return compile_schema(request["schema"])
    controls: dict[str, int] = request["controls"]
    return compile_tools(
        request["tools"],
        request["format"],
        parallel=request["parallel"],
        none=request["none"],
        talk=request["talk"],
        control=controls.get,
    )


class _TooLong(BaseException):
    """Compiling exceeds the limit of CPU time."""


def _stop(*_: object) -> None:
    raise _TooLong


def reply(line: str, most: int, seconds: float = 0) -> dict[str, Any]:
    try:
        constraint = _within(seconds, line) if seconds else compiled(json.loads(line))
    except _TooLong:
        return {"error": f"compiling takes over {seconds:g} seconds; simplify it"}
    except TinsmithError as error:
        return {"error": str(error)}
    except (RecursionError, MemoryError):
        return {"error": "nests too deep, or is too large; simplify it"}
    if len(constraint.data) > most:
        return {"error": f"compiles to {len(constraint.data):,} bytes, of {most:,} at most; simplify it"}
    return {"kind": constraint.kind, "data": base64.b64encode(constraint.data).decode("ascii")}


def _within(seconds: float, line: str) -> Constraint:
    if not hasattr(signal, "setitimer"):  # Windows: the caller limits the time too
        return compiled(json.loads(line))
    signal.signal(signal.SIGPROF, _stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        return compiled(json.loads(line))
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def main() -> None:
    most, seconds = int(sys.argv[1]), float((sys.argv[2:] or ["0"])[0])
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with suppress(AttributeError, OSError):
        os.nice(5)  # requests in flight come first
    print("{}", flush=True)
    for line in sys.stdin:
        print(json.dumps(reply(line, most, seconds)), flush=True)


if __name__ == "__main__":
    main()
