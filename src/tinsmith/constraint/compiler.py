"""The process that compiles constraints of requests, by system/limited.py.

A request is {"most": bytes of a constraint, "terms": …}. The terms are {"schema": …}, or {"tools": […],
"format", "parallel", "none", "talk", "controls": {text: id}}.
"""

from __future__ import annotations

import base64

from tinsmith.constraint.calls.tools import compile_tools
from tinsmith.constraint.json_schema import compile_schema
from tinsmith.errors import TinsmithError
from tinsmith.system import limited


def reply(request: limited.Answer) -> limited.Answer:
    terms = request["terms"]
    try:
        if "schema" in terms:
            constraint = compile_schema(terms["schema"])
        else:
            controls: dict[str, int] = terms.pop("controls")
            constraint = compile_tools(**terms, control=controls.get)
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
