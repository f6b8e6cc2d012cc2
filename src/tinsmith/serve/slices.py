"""Work on a model that is no answer, in slices between the batch's steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tinsmith import _core
from tinsmith.runtime.image_prompt import begin
from tinsmith.runtime.routing import Router, tokens_of
from tinsmith.serve.faults import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tinsmith.serve.shelf import Served
    from tinsmith.serve.worker import Sliced

_BUDGET = 20_000_000  # ns


def _begun(
    served: Served, tokens: Sequence[int], param: str, adapter: str | None = None, more: int = 0
) -> _core.Session:
    """A session for the tokens and so many more, of the base or under an adapter. Nothing of it comes from
    earlier prompts: how long it takes says nothing of what others asked."""
    most, count = served.worker.context, len(tokens) + more
    if not 0 < count < most:
        raise Refused(400, f"{count} tokens; give 1 to {most - 1}", param, code="context_length_exceeded")
    session = served.model.open_session(tokens, 1 + more, adapter)
    session.rewind(0)
    return session


def _computed(session: _core.Session, tokens: Sequence[int]) -> Iterator[_core.Session | None]:
    """The session behind more tokens, at last."""
    session.append(tokens)
    while session.step(_BUDGET) == _core.STEP_PENDING:
        yield None
    yield session


def last_state(served: Served, tokens: Sequence[int]) -> Sliced:
    """The base's hidden state behind the tokens, float32."""
    for session in _computed(_begun(served, tokens, "input"), tokens):
        yield None if session is None else memoryview(session.state()).cast("f").tolist()


def mean_state(served: Served, tokens: Sequence[int]) -> Sliced:
    """The mean of the base's hidden states behind each of the tokens, summed as float64 in their order. A
    session has the state of the last token alone, so each is a step of its own."""
    session = _begun(served, tokens, "input")
    sums: list[float] = []
    for token in tokens:
        for one in _computed(session, [token]):
            if one is not None:
                row = memoryview(one.state()).cast("f")
                sums = [a + b for a, b in zip(sums, row, strict=True)] if sums else [*map(float, row)]
        yield None
    yield [value / len(tokens) for value in sums]


def logits(served: Served, prompt: Sequence[int], tokens: Sequence[int], adapter: str | None) -> Sliced:
    """Of the token behind a prompt and these, float32, as bytes."""
    begun = _begun(served, prompt, "tokens", adapter, len(tokens))
    begin(begun, prompt)
    for session in _computed(begun, tokens):
        yield None if session is None else session.logits()[1]


def route(served: Served, messages: Sequence[Mapping[str, Any]]) -> Sliced:
    """The adapter that the file's router chooses."""
    router = Router(served.model)
    tokens = tokens_of(served.model, messages)
    for session in _computed(_begun(served, tokens, "messages"), tokens):
        yield None if session is None else router.of(session)
