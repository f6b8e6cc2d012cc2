"""OpenAI's /v1/embeddings: the base's last hidden state behind a text, or the mean of all, of length 1."""

from __future__ import annotations

import base64
import math
import struct
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field
from starlette.responses import Response

from tinsmith.checks import token_ids
from tinsmith.serve import slices
from tinsmith.serve.endpoint import Call, Endpoint, Json, like
from tinsmith.serve.faults import Refused
from tinsmith.serve.fields import Body, Name, Prompts

if TYPE_CHECKING:
    from tinsmith.runtime.loaded import Loaded


class Pooling(Body):
    """Of the states behind a text's tokens: the last one, or the mean."""

    pooling: Literal["last", "mean"] = "last"


class EmbeddingsBody(Body):
    """dimensions: those that the model has. user: changes nothing, and is not kept."""

    model: Name
    input: Prompts
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1)] | None = None
    user: str | None = None
    tinsmith: Pooling | None = None


async def embed(call: Call, body: EmbeddingsBody) -> Response:
    target = call.house.shelf.find(body.model)
    if target.adapter is not None or target.routed:
        raise Refused(400, f"embeddings are the base's; give {target.served.name}", "model")
    given: Any = body.input
    texts = [given] if isinstance(given, str) or isinstance(given[0], int) else list(given)
    mean = body.tinsmith is not None and body.tinsmith.pooling == "mean"
    pooled = slices.mean_state if mean else slices.last_state
    model, worker, rows, count = target.served.model, target.served.worker, [], 0
    with call.house.taking(call.scope, worker):
        for number, text in enumerate(texts):
            tokens = await call.beside(partial(_tokens, model, text))
            state = await worker.between(call.scope, partial(pooled, target.served, tokens))
            if body.dimensions not in (None, len(state)):
                raise Refused(400, f"dimensions is {body.dimensions}; the model has {len(state)}", "dimensions")
            count += len(tokens)
            rows.append(
                {"object": "embedding", "index": number, "embedding": _written(state, body.encoding_format)}
            )
    usage = {"prompt_tokens": count, "total_tokens": count}
    return Json({"object": "list", "data": rows, "model": target.name, "usage": usage})


def _tokens(model: Loaded, text: str | list[int]) -> list[int]:
    if isinstance(text, str):
        return model.tokenize(text, bos=True)
    return token_ids(text, model.info.vocab, "input")


def _written(state: list[float], encoding: str | None) -> list[float] | str:
    """Of length 1; as OpenAI's clients ask for it, float32 in base64."""
    length = math.sqrt(math.fsum(value * value for value in state)) or 1.0
    unit = [value / length for value in state]
    return base64.b64encode(struct.pack(f"<{len(unit)}f", *unit)).decode() if encoding == "base64" else unit


_REPLY = {
    "object": "list",
    "data": [{"object": "embedding", "index": int, "embedding": ([float], str)}],
    "model": str,
    "usage": {"prompt_tokens": int, "total_tokens": int},
}
ENDPOINTS = [Endpoint("POST", "/v1/embeddings", "Texts as vectors", embed, EmbeddingsBody, like(_REPLY))]
