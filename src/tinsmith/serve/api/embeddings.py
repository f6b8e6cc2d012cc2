"""OpenAI's /v1/embeddings: the base's last hidden state after a text, or the mean of all, normalized."""

from __future__ import annotations

import base64
import math
import struct
from functools import partial
from typing import Annotated, Literal

from pydantic import Field
from starlette.responses import Response

from tinsmith.checks import token_ids
from tinsmith.runtime.loaded import Loaded
from tinsmith.serve import forward
from tinsmith.serve.endpoint import ApiRequest, Endpoint, JsonResponse
from tinsmith.serve.errors import ApiError
from tinsmith.serve.fields import Body, Name, Prompts, prompts_of


class Pooling(Body):
    """pooling: of the hidden states after a text's tokens."""

    pooling: Literal["last", "mean"] = "last"


class EmbeddingsBody(Body):
    """dimensions: the model's. user: no effect, and not stored."""

    model: Name
    input: Prompts
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1)] | None = None
    user: str | None = None
    tinsmith: Pooling | None = None


async def embed(request: ApiRequest, body: EmbeddingsBody) -> Response:
    ref = request.state.find(body.model)
    if ref.adapter is not None or ref.routed:
        raise ApiError(400, f"embeddings are computed without adapters; give {ref.served.name}", "model")
    mean = body.tinsmith is not None and body.tinsmith.pooling == "mean"
    pool = forward.mean_state if mean else forward.last_state
    model, worker, rows, count = ref.model, ref.worker, [], 0
    with request.state.in_flight(request.client, worker):
        for number, text in enumerate(prompts_of(body.input)):
            tokens = await request.in_thread(partial(_tokens, model, text))
            state = await worker.run_sliced(request.client, partial(pool, ref.served, tokens))
            if body.dimensions not in (None, len(state)):
                message = f"dimensions is {body.dimensions}; the model has {len(state)}"
                raise ApiError(400, message, "dimensions")
            count += len(tokens)
            embedding = _encode(state, body.encoding_format)
            rows.append({"object": "embedding", "index": number, "embedding": embedding})
    usage = {"prompt_tokens": count, "total_tokens": count}
    return JsonResponse({"object": "list", "data": rows, "model": ref.name, "usage": usage})


def _tokens(model: Loaded, text: str | list[int]) -> list[int]:
    if isinstance(text, str):
        return model.tokenize(text, bos=True)
    return token_ids(text, model.info.vocab, "input")


def _encode(state: list[float], encoding: str | None) -> list[float] | str:
    """A vector of length 1; OpenAI's clients ask for it as float32 in base64."""
    length = math.sqrt(math.fsum(value * value for value in state)) or 1.0
    unit = [value / length for value in state]
    return base64.b64encode(struct.pack(f"<{len(unit)}f", *unit)).decode() if encoding == "base64" else unit


ENDPOINTS = [Endpoint("POST", "/v1/embeddings", "Embeds texts", embed, EmbeddingsBody)]
