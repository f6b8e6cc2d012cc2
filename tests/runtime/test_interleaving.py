"""Generations of one model that are read in turns: each is right, or says that another one took its session."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tinsmith import _core
from tinsmith.constraint.makers import choices, regex
from tinsmith.errors import InputError, RuntimeFault
from tinsmith.runtime import Model, scheduler

TAKEN = "another generation of this model has taken its session"
FIRST, OTHER = "the thing is in the", "zz"
WORDS = regex("the [a-z ]{30,200}")
TOOL = {"type": "function", "function": {"name": "lamp", "parameters": {"type": "object", "properties": {}}}}
TURN = [{"role": "user", "content": "the thing"}]

Taker = Callable[[Model], Any]
TAKERS: dict[str, Taker] = {
    "generate": lambda m: m.generate(OTHER, max_tokens=3, constraint=None),
    "constrained": lambda m: m.generate(OTHER, max_tokens=9, constraint=WORDS),
    "stream": lambda m: next(m.stream(OTHER, max_tokens=3, constraint=None, temperature=1.0)),
    "chat": lambda m: m.chat(TURN, max_tokens=3, constraint=None),
    "json": lambda m: m.json("the thing", {"const": "in the"}),
    "call": lambda m: m.call("the thing", [TOOL]),
    "choose": lambda m: m.choose("the thing", ["yes", "no"]),
    "session": lambda m: m.open_session([5, 6, 7], 4),
}


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize("constraint", [None, WORDS], ids=["free", "constrained"])
def test_the_older_one_says_that_its_session_was_taken(model: Model, taker: str, constraint: Any) -> None:
    options: dict[str, Any] = {"max_tokens": 30, "constraint": constraint, "temperature": 1.0}
    whole = "".join(model.stream(FIRST, **options))
    first = model.stream(FIRST, **options)
    began = next(first)
    TAKERS[taker](model)
    with pytest.raises(InputError, match=TAKEN):
        list(first)
    assert list(first) == []
    assert "".join(model.stream(FIRST, **options)) == whole
    assert whole.startswith(began)


def test_the_younger_one_is_not_disturbed(model: Model) -> None:
    """Whatever becomes of the older one: it is read on, closed or forgotten."""
    options: dict[str, Any] = {"max_tokens": 30, "temperature": 1.0, "seed": 3, "constraint": WORDS}
    alone = "".join(model.stream(OTHER, **options))

    def forget(older: Any) -> None:
        del older

    def read(older: Any) -> None:
        with pytest.raises(InputError, match=TAKEN):
            next(older)

    for ending in (forget, read, lambda older: older.close()):
        older = model.stream(FIRST, **options)
        next(older)
        younger = model.stream(OTHER, **options)
        pieces = [next(younger)]
        ending(older)
        del older
        assert "".join([*pieces, *younger]) == alone


def test_both_go_on_where_each_has_a_session(model: Model) -> None:
    long = ["the thing is in the bin " * 8, "zz in the beginning there " * 8]
    options: dict[str, Any] = {"max_tokens": 20, "temperature": 1.0, "constraint": None}
    alone = [list(model.stream(prompt, **options)) for prompt in long]
    streams = [model.stream(prompt, **options) for prompt in long]
    read: list[list[str]] = [[], []]
    for _ in range(30):
        for pieces, stream in zip(read, streams, strict=True):
            pieces += [piece for piece in [next(stream, None)] if piece is not None]
    assert read == alone


def test_many_disturb_no_stream(model: Model) -> None:
    options: dict[str, Any] = {"max_tokens": 30, "temperature": 1.0, "constraint": WORDS}
    whole = "".join(model.stream(FIRST, **options))
    first = model.stream(FIRST, **options)
    pieces = [next(first)]
    model.generate_many([FIRST, OTHER, "the"], **options)
    assert "".join([*pieces, *first]) == whole


def test_a_session_that_has_nothing_to_do_is_not_waited_for(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = model.stream(FIRST, max_tokens=30, constraint=None, temperature=1.0)
    next(first)
    session = model._sessions._sessions[-1].session
    session.rewind(0)  # by whoever has the session, against what open_session says
    with pytest.raises(InputError, match=TAKEN):
        list(first)

    class Idle:
        def __init__(self, *given: Any, **options: Any) -> None:
            self.sessions: list[Any] = []
            self.add, self.size = self.sessions.append, lambda: 0
            self.cancel, self.slice = lambda: None, lambda rows: None

        def step(self) -> list[int]:
            return [_core.STEP_IDLE] * len(self.sessions)

    monkeypatch.setattr(scheduler, "_core", SimpleNamespace(**{**vars(_core), "Batch": Idle}))
    with pytest.raises(RuntimeFault, match="the batch is idle"):
        model.generate_many([FIRST, OTHER], max_tokens=4, constraint=choices(["a", "b"]))
