"""The process that compiles constraints for the server: a request a line, a reply a line, in JSON.

A request is {"schema": …}, or {"tools": […], "format", "parallel", "none", "talk", "controls": {text: id}}.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from contextlib import suppress
from typing import Any

from tinsmith.constraint import Constraint
from tinsmith.constraint.calls.tools import compile_tools
from tinsmith.constraint.json_schema import compile_schema
from tinsmith.errors import TinsmithError

_MEMORY = 2 << 30  # bytes of the process


def made(request: dict[str, Any]) -> Constraint:
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


def reply(line: str, most: int) -> dict[str, Any]:
    try:
        constraint = made(json.loads(line))
    except TinsmithError as error:
        return {"error": str(error)}
    except (RecursionError, MemoryError):
        return {"error": "nests too deep, or is too large; simplify it"}
    if len(constraint.data) > most:
        return {"error": f"compiles to {len(constraint.data):,} bytes, of {most:,} at most; simplify it"}
    return {"kind": constraint.kind, "data": base64.b64encode(constraint.data).decode("ascii")}


def main() -> None:
    most = int(sys.argv[1])
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    with suppress(AttributeError, OSError):
        os.nice(5)  # answers that are under way come first
    print("{}", flush=True)
    for line in sys.stdin:
        print(json.dumps(reply(line, most)), flush=True)


if __name__ == "__main__":
    main()
