"""The list of models, tokenization, health, metrics, and the page."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from pydantic import Field
from starlette.responses import Response

from tinsmith.serve import page as web
from tinsmith.serve.endpoint import ApiRequest, Endpoint, JsonResponse
from tinsmith.serve.fields import Body, Name, Tokens
from tinsmith.serve.metrics import CONTENT_TYPE
from tinsmith.serve.state import ModelRef


class TokenizeBody(Body):
    """special: control tokens in the text are control tokens. bos: begin with that token."""

    model: Name | None = None
    content: Annotated[str, Field(max_length=1 << 20)]
    special: bool = False
    bos: bool = False


class DetokenizeBody(Body):
    """special: include the text of control tokens."""

    model: Name | None = None
    tokens: Tokens
    special: bool = False


def _model(ref: ModelRef) -> dict[str, Any]:
    return {
        "id": ref.name,
        "object": "model",
        "created": ref.served.created,
        "owned_by": "tinsmith",
        "tinsmith": ref.served.about(ref),
    }


async def models(request: ApiRequest, _: Any) -> Response:
    return JsonResponse({"object": "list", "data": [_model(ref) for ref in request.state.refs.values()]})


async def model(request: ApiRequest, _: Any) -> Response:
    return JsonResponse(_model(request.state.find(request.http.path_params["name"])))


async def tokenize(request: ApiRequest, body: TokenizeBody) -> Response:
    model = request.state.find_or_only(body.model).model
    work = partial(model.tokenize, body.content, special=body.special, bos=body.bos)
    return await request.in_thread(lambda: JsonResponse({"tokens": work()}))


async def detokenize(request: ApiRequest, body: DetokenizeBody) -> Response:
    model = request.state.find_or_only(body.model).model
    work = partial(model.detokenize, body.tokens, special=body.special)
    return await request.in_thread(lambda: JsonResponse({"content": work()}))


async def health(request: ApiRequest, _: Any) -> Response:
    alive = all(one.worker.alive for one in request.state.models)
    return JsonResponse({"status": "ok" if alive else "failed"}, 200 if alive else 503)


async def metrics(request: ApiRequest, _: Any) -> Response:
    return Response(request.state.metrics.text(), headers={"content-type": CONTENT_TYPE})


async def page(request: ApiRequest, _: Any) -> Response:
    body, headers = web.page()
    return Response(body, headers=headers)


ENDPOINTS = [
    Endpoint("GET", "/v1/models", "Lists the models", models),
    Endpoint("GET", "/v1/models/{name:path}", "Describes a model", model),
    Endpoint("POST", "/tokenize", "Text to tokens", tokenize, TokenizeBody),
    Endpoint("POST", "/detokenize", "Tokens to text", detokenize, DetokenizeBody),
    Endpoint("GET", "/health", "The server's health", health, public=True),
    Endpoint("GET", "/metrics", "Prometheus metrics", metrics, media="text/plain"),
    Endpoint("GET", "/", "The page", page, media="text/html", public=True),
]
