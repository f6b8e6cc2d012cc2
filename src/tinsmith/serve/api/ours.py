"""What other servers have not: what a model is and was measured at, and constraints that are checked alone."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Annotated, Any, BinaryIO

from pydantic import Field
from starlette.responses import Response, StreamingResponse

from tinsmith import _core
from tinsmith.runtime.offers import Offer
from tinsmith.serve.api.openai_parts import FunctionTool, declared
from tinsmith.serve.endpoint import Call, Endpoint, Json, like
from tinsmith.serve.faults import Refused
from tinsmith.serve.fields import Body, Name, Tools
from tinsmith.serve.posing import offered
from tinsmith.serve.shelf import Target

# A report is a page of its own, which asks nobody and runs nothing.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"


class CheckBody(Body):
    """A schema, or tools in the format of a model."""

    model: Name | None = None
    schema_: Annotated[Any, Field(alias="schema")] = None
    tools: Tools[FunctionTool] | None = None


async def check(call: Call, body: CheckBody) -> Response:
    if ("schema_" in body.model_fields_set) == bool(body.tools):
        raise Refused(400, "give either a schema or tools", "schema")
    if tools := body.tools:
        target, limits = call.house.named(body.model), call.house.limits

        def made_of() -> dict[str, Any]:
            return offered(Offer(declared(tool.function for tool in tools), "required"), target, limits)

        request = await call.beside(made_of)
        made = await call.house.compiler.compiled(call.scope, "tools", request)
    else:
        made = await call.house.compiler.compiled(call.scope, "schema", {"schema": body.schema_})
    return Json(
        {"states": made.states, "depth": made.depth, "shortest": made.shortest, "bytes": len(made.data)}
    )


async def about(call: Call, _: Any) -> Response:
    target = call.house.named(call.request.query_params.get("model"))
    return await call.beside(lambda: Json(_about(target)))


def _about(target: Target) -> dict[str, Any]:
    served = target.served
    model, worker = served.model, served.worker
    info, manifest = model.info, dict(model.tin.manifest)
    entries: dict[str, dict[str, Any]] = {
        name: {"bytes": len(model.tin.entry(name))} for name in model.tin.names
    }
    for name, listed in manifest.pop("entries", {}).items():
        entries.setdefault(name, {})["sha256"] = str(listed.get("sha256", ""))
    report = served.report is not None
    return {
        "model": target.name,
        "version": _core.VERSION,
        "digest": served.digest,
        **served.about(target),
        "contents": {"file": served.path.name, **manifest, "entries": entries},
        "plan": {
            "weights_bytes": info.bytes,
            "conversations_bytes": worker.memory,
            "eyes_bytes": served.eyes.memory if served.eyes else 0,
            "context": worker.context,
            "places": worker.places,
            "threads": info.threads,
            "isa": info.isa,
        },
        "speed": {"answer_tokens_per_second": worker.speed},
        "report": f"/tinsmith/report?model={served.name}" if report else None,
    }


async def report(call: Call, _: Any) -> Response:
    path = call.house.named(call.request.query_params.get("model")).served.report
    if path is None:
        raise Refused(404, "no report.html lies beside the model's file", "model", code="not_found")
    try:
        number = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError:  # it is gone, or a link by now
        raise Refused(404, "report.html beside the model's file can't be read", "model", "not_found") from None
    headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}
    return StreamingResponse(_pieces(os.fdopen(number, "rb")), headers=headers, media_type="text/html")


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    """Of a file that may be large, one in memory at a time."""
    with file:
        while piece := file.read(1 << 16):
            yield piece


_CHECKED = {"states": int, "depth": (int, None), "shortest": int, "bytes": int}
ENDPOINTS = [
    Endpoint(
        "POST", "/tinsmith/check", "Whether a schema or tools can be kept", check, CheckBody, like(_CHECKED)
    ),
    Endpoint("GET", "/tinsmith/about", "What a model is, and how it runs here", about, reply=like(dict)),
    Endpoint("GET", "/tinsmith/report", "The report that was made with a model", report, text="text/html"),
]
