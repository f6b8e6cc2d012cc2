"""Forward passes outside the batch, in slices between its steps: embeddings, logits, routing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tinsmith import _core
from tinsmith.runtime.image_prompt import begin
from tinsmith.runtime.routing import Router, tokens_of
from tinsmith.serve.errors import ApiError
from tinsmith.serve.state import ServedModel
from tinsmith.serve.worker import SlicedWork

_SLICE = 20_000_000  # ns


def _open_session(
    served: ServedModel, tokens: Sequence[int], param: str, adapter: str | None = None, more: int = 0
) -> _core.Session:
    """A session with room for the tokens and `more` others. It reuses no earlier prompt, so that response times
    reveal nothing about other requests."""
    limit, count = served.worker.context, len(tokens) + more
    if not 0 < count < limit:
        raise ApiError(400, f"{count} tokens; give 1 to {limit - 1}", param, code="context_length_exceeded")
    session = served.model.open_session(tokens, 1 + more, adapter)
    session.rewind(0)
    return session


def _forward(session: _core.Session, tokens: Sequence[int]) -> Iterator[_core.Session | None]:
    """Yields the session after the last token."""
    session.append(tokens)
    while session.step(_SLICE) == _core.STEP_PENDING:
        yield None
    yield session


def last_state(served: ServedModel, tokens: Sequence[int]) -> SlicedWork:
    """The base's hidden state after the last token, float32."""
    for session in _forward(_open_session(served, tokens, "input"), tokens):
        yield None if session is None else memoryview(session.state()).cast("f").tolist()


def mean_state(served: ServedModel, tokens: Sequence[int]) -> SlicedWork:
    """The mean of the base's hidden states, summed in float64 in the tokens' order. A session has the last
    token's state only, and so takes one token at a time."""
    session = _open_session(served, tokens, "input")
    sums: list[float] = []
    for token in tokens:
        for one in _forward(session, [token]):
            if one is not None:
                row = memoryview(one.state()).cast("f")
                sums = [a + b for a, b in zip(sums, row, strict=True)] if sums else [*map(float, row)]
        yield None
    yield [value / len(tokens) for value in sums]


def logits(
    served: ServedModel, prompt: Sequence[int], tokens: Sequence[int], adapter: str | None
) -> SlicedWork:
    """The logits after a prompt and more tokens, float32, as bytes."""
    session = _open_session(served, prompt, "tokens", adapter, len(tokens))
    begin(session, prompt)
    for one in _forward(session, tokens):
        yield None if one is None else one.logits()[1]


def route(served: ServedModel, messages: Sequence[Mapping[str, Any]]) -> SlicedWork:
    """The adapter that the file's router chooses."""
    router = Router(served.model)
    tokens = tokens_of(served.model, messages)
    for session in _forward(_open_session(served, tokens, "messages"), tokens):
        yield None if session is None else router.of(session)
