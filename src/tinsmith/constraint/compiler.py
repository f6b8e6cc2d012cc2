"""The process that compiles constraints of requests, by system/limited.py.

A request is {"most": bytes of a constraint, "terms": …}. The terms are {"schema": …}, or {"tools": […],
"format", "parallel", "none", "talk", "controls": {text: id}}.
"""

from __future__ import annotations

import base64
from typing import Any

from tinsmith.constraint import Constraint
from tinsmith.constraint.calls.tools import compile_tools
from tinsmith.constraint.json_schema import compile_schema
from tinsmith.errors import TinsmithError
from tinsmith.system import limited


def compiled(terms: dict[str, Any]) -> Constraint:
    if "schema" in terms:
        return compile_schema(terms["schema"])
    controls: dict[str, int] = terms.pop("controls")
    return compile_tools(**terms, control=controls.get)


def reply(request: limited.Answer) -> limited.Answer:
    try:
        constraint = compiled(request["terms"])
    except TinsmithError as error:
        return {"error": str(error)}
    except (RecursionError, MemoryError):
        return {"error": "nests too deep, or is too large; simplify it"}
    size, most = len(constraint.data), request["most"]
    if size > most:
        return {"error": f"compiles to {size:,} bytes, of {most:,} at most; simplify it"}
    return {"kind": constraint.kind, "data": base64.b64encode(constraint.data).decode("ascii")}


if __name__ == "__main__":
    limited.serve(reply)
