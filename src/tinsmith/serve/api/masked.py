"""Which tokens a constraint kept an answer from: what the model would have said freely at a place of it."""

from __future__ import annotations

import math
from functools import partial
from heapq import nlargest
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field
from starlette.responses import Response

from tinsmith import _core
from tinsmith.checks import token_ids
from tinsmith.errors import RuntimeFault
from tinsmith.runtime.choice import token_shown
from tinsmith.serve import slices
from tinsmith.serve.api import chat
from tinsmith.serve.api.chat_body import ChatBody
from tinsmith.serve.endpoint import Call, Endpoint, Json, like
from tinsmith.serve.faults import Refused
from tinsmith.serve.fields import Body, Tokens
from tinsmith.serve.posing import pose

if TYPE_CHECKING:
    from tinsmith.constraint import Constraint
    from tinsmith.runtime.loaded import Loaded

_SHOWN = 8


class MaskedBody(Body):
    """chat: what was asked. tokens: of the answer, up to the place."""

    chat: ChatBody
    tokens: Annotated[Tokens, Field(default_factory=list)]


async def masked(call: Call, body: MaskedBody) -> Response:
    question = await call.read(lambda: chat.question(call, body.chat))
    target = question.target
    if target.routed:
        raise Refused(400, f"{target.name} chooses by a conversation; name the adapter", "chat.model")
    model = target.served.model
    before = token_ids(body.tokens, model.info.vocab, "tokens")
    with call.house.taking(call.scope, target.served.worker):
        posed = await pose(call.house, question, target)
        held = target.skill.constraint_for(posed.constraint)
        if held is None:
            return Json({"allowed": None, "masked": []})
        asked = partial(slices.logits, target.served, posed.tokens, before, target.adapter)
        row = await target.served.worker.between(call.scope, asked)
        return await call.beside(lambda: Json(_likeliest(model, held, before, row)))


def _likeliest(model: Loaded, held: Constraint, before: list[int], row: bytes) -> dict[str, Any]:
    """Of the tokens that may not come behind these, with the logarithms of their probabilities among all."""
    walk = _core.Constraint(model.core, held.data)
    try:
        for token in before:
            walk.accept(token)
        mask = walk.mask()
    except RuntimeFault as fault:
        raise Refused(400, f"tokens: {fault}", "tokens") from None
    logits = memoryview(row).cast("f").tolist()
    best = max(logits)
    whole = best + math.log(math.fsum(math.exp(value - best) for value in logits))
    others = [token for token in range(len(logits)) if not mask[token >> 3] >> (token & 7) & 1]
    shown = nlargest(_SHOWN, others, key=lambda token: (logits[token], -token))
    return {
        "allowed": len(logits) - len(others),
        "masked": [{"id": one, **token_shown(model.core, one, logits[one] - whole)} for one in shown],
    }


_TOKEN = {"id": int, "token": str, "logprob": float, "bytes": [int]}
_REPLY = {"allowed": (int, None), "masked": [_TOKEN]}
ENDPOINTS = [
    Endpoint(
        "POST",
        "/tinsmith/masked",
        "What a constraint kept an answer from",
        masked,
        MaskedBody,
        like(_REPLY),
    )
]
