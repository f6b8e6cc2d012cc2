"""Work on a model that is no answer, in slices between the batch's steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tinsmith import _core
from tinsmith.runtime.routing import Router, tokens_of
from tinsmith.serve.faults import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tinsmith.serve.shelf import Served
    from tinsmith.serve.worker import Sliced

_BUDGET = 20_000_000  # ns


def _computed(served: Served, tokens: Sequence[int], param: str) -> Iterator[_core.Session | None]:
    """The base's session behind the tokens, at last. Nothing of it comes from earlier prompts: how long it
    takes says nothing of what others asked."""
    most = served.worker.context
    if not 0 < len(tokens) < most:
        raise Refused(400, f"{len(tokens)} tokens; give 1 to {most - 1}", param, code="context_length_exceeded")
    session = served.model.open_session(tokens, 1)
    session.rewind(0)
    session.replace(tokens)
    while session.step(_BUDGET) == _core.STEP_PENDING:
        yield None
    yield session


def state(served: Served, tokens: Sequence[int]) -> Sliced:
    """The base's hidden state behind the tokens, float32."""
    for session in _computed(served, tokens, "input"):
        yield None if session is None else memoryview(session.state()).cast("f").tolist()


def route(served: Served, messages: Sequence[Mapping[str, Any]]) -> Sliced:
    """The adapter that the file's router chooses."""
    router = Router(served.model)
    for session in _computed(served, tokens_of(served.model, messages), "messages"):
        yield None if session is None else router.of(session)
