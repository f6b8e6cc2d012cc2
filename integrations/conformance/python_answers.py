"""Python's answer to a case, with its digest and receipt, for hosts in Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tinsmith import Completion, Model
from tinsmith.runtime.generation import Sampling, TokenRequest
from tinsmith.runtime.receipt import receipt

DRAWN = ("temperature", "top_p", "repetition_penalty", "seed")


def answered(
    model: Model,
    messages: Sequence[Mapping[str, Any]],
    most: int,
    *,
    adapter: str | None = None,
    unconstrained: bool = False,
    **drawn: Any,
) -> tuple[Completion, str, str]:
    """The answer, its digest as tinhost_digest, and its receipt's. drawn: some of DRAWN."""
    held = None if unconstrained else model.constraint
    answer = model.chat(messages, max_tokens=most, constraint=held, adapter=adapter, record=True, **drawn)
    tokens = model.render(messages, adapter=adapter)
    asked = TokenRequest(
        tokens=tokens,
        applied=model.applied(adapter),
        constraint=held,
        max_tokens=most,
        sampling=Sampling(**drawn),
    )
    return answer, str(answer.digest), receipt(model, asked, answer).digest
