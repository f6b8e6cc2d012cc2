"""tinsmith's own endpoints: constraint checks, masked tokens, a model's description and report."""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterator
from functools import partial
from heapq import nlargest
from typing import Annotated, Any, BinaryIO

from pydantic import Field
from starlette.responses import Response, StreamingResponse

from tinsmith import _core
from tinsmith.checks import token_ids
from tinsmith.constraint import Constraint
from tinsmith.errors import RuntimeFault
from tinsmith.runtime.calls import Offer
from tinsmith.runtime.choice import token_shown
from tinsmith.runtime.loaded import Loaded
from tinsmith.serve import forward
from tinsmith.serve.api.chat import ChatBody, to_generation
from tinsmith.serve.api.openai_common import FunctionTool, declared
from tinsmith.serve.endpoint import ApiRequest, Endpoint, JsonResponse
from tinsmith.serve.errors import ApiError
from tinsmith.serve.fields import Body, Name, Tokens, Tools
from tinsmith.serve.prepare import prepare, tools_request
from tinsmith.serve.state import ModelRef

# A report is a self-contained page without scripts.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
_MASKED = 8  # tokens in an answer of /tinsmith/masked


class CheckBody(Body):
    """A schema, or tools in a model's call format."""

    model: Name | None = None
    schema_: Annotated[Any, Field(alias="schema")] = None
    tools: Tools[FunctionTool] | None = None


async def check(request: ApiRequest, body: CheckBody) -> Response:
    state = request.state
    if ("schema_" in body.model_fields_set) == bool(body.tools):
        raise ApiError(400, "give either a schema or tools", "schema")
    param, to_compile = "schema", {"schema": body.schema_}
    if tools := body.tools:
        ref = state.find_or_only(body.model)
        offer = Offer(declared(tool.function for tool in tools), "required")
        param, to_compile = "tools", await request.in_thread(partial(tools_request, offer, ref))
    constraint = await state.compiler.compile(request.client, param, to_compile)
    size = len(constraint.data)
    facts = {"states": constraint.states, "depth": constraint.depth, "shortest": constraint.shortest}
    return JsonResponse({**facts, "bytes": size})


class MaskedBody(Body):
    """tokens: the beginning of the chat's answer."""

    chat: ChatBody
    tokens: Annotated[Tokens, Field(default_factory=list)]


async def masked(request: ApiRequest, body: MaskedBody) -> Response:
    """The most probable tokens that the constraint excludes after `tokens`."""
    generation = await request.parse(lambda: to_generation(request, body.chat))
    ref = generation.ref
    if ref.routed:
        raise ApiError(400, f"{ref.name} is a router; name an adapter", "chat.model")
    model, worker = ref.model, ref.worker
    tokens = token_ids(body.tokens, model.info.vocab, "tokens")
    with request.state.in_flight(request.client, worker):
        prompt = (await prepare(request.state, generation)).token_request
        constraint = prompt.constraint
        if constraint is None:
            return JsonResponse({"allowed": None, "masked": []})
        start = partial(forward.logits, ref.served, prompt.tokens, tokens, ref.adapter)
        row = await worker.run_sliced(request.client, start)
        return await request.in_thread(lambda: JsonResponse(_masked(model, constraint, tokens, row)))


def _masked(model: Loaded, constraint: Constraint, tokens: list[int], row: bytes) -> dict[str, Any]:
    """row: the logits after the tokens. Log probabilities are among all tokens."""
    matcher = _core.Constraint(model.core, constraint.data)
    try:
        for token in tokens:
            matcher.accept(token)
        mask = matcher.mask()
    except RuntimeFault as fault:
        raise ApiError(400, f"tokens: {fault}", "tokens") from None
    logits = memoryview(row).cast("f").tolist()
    best = max(logits)
    total = best + math.log(math.fsum(math.exp(value - best) for value in logits))
    excluded = [token for token in range(len(logits)) if not mask[token >> 3] >> (token & 7) & 1]
    shown = nlargest(_MASKED, excluded, key=lambda token: (logits[token], -token))
    return {
        "allowed": len(logits) - len(excluded),
        "masked": [{"id": one, **token_shown(model.core, one, logits[one] - total)} for one in shown],
    }


async def about(request: ApiRequest, _: Any) -> Response:
    ref = request.state.find_or_only(request.http.query_params.get("model"))
    return await request.in_thread(lambda: JsonResponse(_about(ref)))


def _about(ref: ModelRef) -> dict[str, Any]:
    served = ref.served
    model, worker = served.model, served.worker
    info, manifest = model.info, dict(model.tin.manifest)
    entries: dict[str, dict[str, Any]] = {
        name: {"bytes": len(model.tin.entry(name))} for name in model.tin.names
    }
    for name, listed in manifest.pop("entries", {}).items():
        entries.setdefault(name, {})["sha256"] = str(listed.get("sha256", ""))
    return {
        "model": ref.name,
        "version": _core.VERSION,
        "digest": served.digest,
        **served.about(ref),
        "contents": {"file": served.path.name, **manifest, "entries": entries},
        "plan": {
            "weights_bytes": info.bytes,
            "conversations_bytes": worker.memory,
            "vision_bytes": served.images.memory if served.images else 0,
            "context": worker.context,
            "slots": worker.slots,
            "threads": info.threads,
            "isa": info.isa,
        },
        "speed": {"answer_tokens_per_second": worker.tokens_per_second},
        "report": f"/tinsmith/report?model={served.name}" if served.report is not None else None,
    }


async def report(request: ApiRequest, _: Any) -> Response:
    path = request.state.find_or_only(request.http.query_params.get("model")).served.report
    try:
        if path is None:
            raise FileNotFoundError
        number = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError:  # such as a link that has just replaced it
        message = "no readable report.html beside the model's file"
        raise ApiError(404, message, "model", code="not_found") from None
    headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}
    return StreamingResponse(_chunks(os.fdopen(number, "rb")), headers=headers, media_type="text/html")


async def _chunks(file: BinaryIO) -> AsyncIterator[bytes]:
    with file:
        while chunk := file.read(1 << 16):
            yield chunk


ENDPOINTS = [
    Endpoint("POST", "/tinsmith/check", "Checks a schema or tools", check, CheckBody),
    Endpoint("POST", "/tinsmith/masked", "Tokens that a constraint excludes", masked, MaskedBody),
    Endpoint("GET", "/tinsmith/about", "Describes a model", about),
    Endpoint("GET", "/tinsmith/report", "A model's report", report, media="text/html"),
]
