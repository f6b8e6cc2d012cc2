"""Sessions that do one thing after the other, for others to be held to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinsmith import _core

PENDING, LOGITS = _core.STEP_PENDING, _core.STEP_LOGITS
TOKEN, DONE = _core.STEP_TOKEN, _core.STEP_DONE


def row(model: _core.Model, count: int, seed: int = 1) -> list[int]:
    return [(7 * k * k + 3 * k + 11 * seed) % model.info()["vocab"] for k in range(count)]


def fed(model: _core.Model, tokens: Sequence[int], **options: Any) -> _core.Session:
    session = _core.Session(model, **{"context": 400, **options})
    session.append(tokens)
    assert session.step() == LOGITS
    return session


def generated(
    session: _core.Session, count: int, lookup: int = 0, budget: int = 0, **options: Any
) -> list[int]:
    names = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "repeat_last", "seed", "measure")
    defaults = (0.0, 0, 1.0, 0.0, 1.0, 0, 0, False)
    session.generate(count, lookup, *(options.get(n, d) for n, d in zip(names, defaults, strict=True)))
    tokens = []
    while (event := session.step(budget)) != DONE:
        if event == TOKEN:
            tokens.append(session.token())
        else:
            assert event == PENDING
            assert budget
    return tokens


def together(batch: _core.Batch, sessions: Sequence[_core.Session]) -> list[list[int]]:
    """What a batch's sessions generate, which have all begun."""
    tokens: list[list[int]] = [[] for _ in sessions]
    left = len(sessions)
    while left:
        for session, event, own in zip(sessions, batch.step(), tokens, strict=True):
            if event == TOKEN:
                own.append(session.token())
            left -= event == DONE
    return tokens


def plainly(model: _core.Model, prompt: Sequence[int], count: int, **options: Any) -> list[int]:
    """Generation as the caller's loop, one token a step."""
    session, tokens = fed(model, prompt), []
    names = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "repeat_last", "seed")
    defaults = (0.0, 0, 1.0, 0.0, 1.0, 0, 0)
    while len(tokens) < count:
        token = session.sample(*(options.get(n, d) for n, d in zip(names, defaults, strict=True)))
        if model.token(token)[2]:
            break
        tokens.append(token)
        session.append([token])
        session.step()
    return tokens
