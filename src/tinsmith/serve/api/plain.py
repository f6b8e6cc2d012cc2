"""Tokens, health, counts, what is served, and the page."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from pydantic import Field
from starlette.responses import Response

from tinsmith.serve import metrics
from tinsmith.serve.endpoint import Call, Endpoint, Json, like
from tinsmith.serve.fields import Body, Name, Tokens
from tinsmith.serve.page import page as the_page


class TokenizeBody(Body):
    """special: control tokens written in the text are taken as such; bos: it begins with that token."""

    model: Name | None = None
    content: Annotated[str, Field(max_length=1 << 20)]
    special: bool = False
    bos: bool = False


class DetokenizeBody(Body):
    """special: with the text of control tokens."""

    model: Name | None = None
    tokens: Tokens
    special: bool = False


async def models(call: Call, _: Any) -> Response:
    rows = [
        {
            "id": target.name,
            "object": "model",
            "created": target.served.created,
            "owned_by": "tinsmith",
            "tinsmith": target.served.about(target),
        }
        for target in call.house.shelf
    ]
    return Json({"object": "list", "data": rows})


async def model(call: Call, _: Any) -> Response:
    target = call.house.shelf.find(call.request.path_params["name"])
    about = target.served.about(target)
    created = target.served.created
    return Json(
        {"id": target.name, "object": "model", "created": created, "owned_by": "tinsmith", "tinsmith": about}
    )


async def tokenize(call: Call, body: TokenizeBody) -> Response:
    model = call.house.named(body.model).served.model
    asked = partial(model.tokenize, body.content, special=body.special, bos=body.bos)
    return await call.beside(lambda: Json({"tokens": asked()}))


async def detokenize(call: Call, body: DetokenizeBody) -> Response:
    model = call.house.named(body.model).served.model
    asked = partial(model.detokenize, body.tokens, special=body.special)
    return await call.beside(lambda: Json({"content": asked()}))


async def health(call: Call, _: Any) -> Response:
    dead = [one.name for one in call.house.shelf.served if not one.worker.alive]
    return Json({"status": "failed" if dead else "ok"}, 503 if dead else 200)


async def counts(call: Call, _: Any) -> Response:
    text = call.house.metrics.text(call.house.shelf, call.house.compiler.seconds)
    return Response(text, headers={"content-type": metrics.TYPE})


async def page(call: Call, _: Any) -> Response:
    body, headers = the_page()
    return Response(body, headers=headers)


_MODEL = {
    "id": str,
    "object": "model",
    "created": int,
    "owned_by": str,
    "tinsmith": {
        "adapters": [str],
        "constraint": bool,
        "context": int,
        "can_chat": bool,
        "template": bool,
        "sees": bool,
    },
}
ENDPOINTS = [
    Endpoint("GET", "/v1/models", "The models", models, reply=like({"object": "list", "data": [_MODEL]})),
    Endpoint("GET", "/v1/models/{name:path}", "A model", model, reply=like(_MODEL)),
    Endpoint("POST", "/tokenize", "A text's tokens", tokenize, TokenizeBody, like({"tokens": [int]})),
    Endpoint("POST", "/detokenize", "Tokens' text", detokenize, DetokenizeBody, like({"content": str})),
    Endpoint("GET", "/health", "Whether it works", health, reply=like({"status": ("ok", "failed")}), open=True),
    Endpoint("GET", "/metrics", "Counts for Prometheus", counts, text="text/plain"),
    Endpoint("GET", "/", "The page", page, text="text/html", open=True),
]
