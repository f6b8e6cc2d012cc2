"""Generation by the core, with and without drafts, held to the bits of one token a step."""

from __future__ import annotations

from typing import Any

import pytest

from tests.runtime.plain_sessions import fed, generated, plainly, row
from tinsmith import _core
from tinsmith.errors import RuntimeFault

LOGITS = _core.STEP_LOGITS
TOKEN, DONE = _core.STEP_TOKEN, _core.STEP_DONE
SAMPLED = {"temperature": 1.5, "top_k": 20, "top_p": 0.95, "repetition_penalty": 1.2, "repeat_last": 30}


@pytest.mark.parametrize("budget", [0, 1, 200_000])
@pytest.mark.parametrize("lookup", [0, 1, 8])
@pytest.mark.parametrize(
    "options", [{}, SAMPLED | {"seed": 3}, SAMPLED | {"seed": 4}], ids=["greedy", "3", "4"]
)
def test_generation_is_plain_decoding(
    core: _core.Model, options: dict[str, Any], lookup: int, budget: int
) -> None:
    prompt = row(core, 30) * 3
    session = _core.Session(core, context=400, logit_rows=9)
    session.append(prompt)
    assert generated(session, 60, lookup, budget, **options) == plainly(core, prompt, 60, **options)


def test_lookup_saves_passes(core: _core.Model) -> None:
    """The test above compares something: a repeating answer is drafted, and takes fewer passes."""
    prompt = row(core, 30) * 3
    passes = {}
    for lookup in (0, 8):
        session = fed(core, prompt, logit_rows=9)
        session.generate(60, lookup)
        passes[lookup] = computed = 0
        while session.step() != DONE:
            position = session.tokens()[0]
            passes[lookup] += position != computed
            computed = position
    assert passes[8] < 0.9 * passes[0]


def test_right_drafts_grow(core: _core.Model) -> None:
    """Where an answer repeats itself, up to eight tokens are chosen by a pass."""
    passes = tokens = 0
    for seed in range(6):
        session = fed(core, row(core, 9, seed), logit_rows=9)
        tokens += len(generated(session, 200, 8))
        passes += session.passes()
    assert tokens > 600
    assert passes < 0.25 * tokens


def test_logits_in_a_generation_are_of_announced_tokens(core: _core.Model) -> None:
    prompt = row(core, 30) * 3
    tokens = plainly(core, prompt, 60)
    session = _core.Session(core, context=400, logit_rows=9)
    session.append(prompt)
    session.generate(60, 8)
    seen = []
    while session.step() == TOKEN:
        seen.append(session.token())
        first, data = session.logits()
        rows = len(data) // 4 // core.info()["vocab"]
        assert first + rows <= len(prompt) + len(seen)
        if first + rows == len(prompt) + len(seen) and len(seen) < len(tokens):
            assert session.sample() == tokens[len(seen)]
    assert seen == tokens


def test_generation_ends_at_the_context(core: _core.Model) -> None:
    session = _core.Session(core, context=50, logit_rows=9)
    session.append(row(core, 40))
    tokens = generated(session, 100, 8)
    assert len(tokens) == 10
    assert session.finish() == _core.FINISH_CONTEXT
    assert tokens == plainly(core, row(core, 40), 10)
    with pytest.raises(RuntimeFault, match="do not fit the session's context of 50"):
        session.append([1])


def test_generation_goes_on_from_logits_at_hand(core: _core.Model) -> None:
    session = fed(core, row(core, 20))
    assert generated(session, 5) == plainly(core, row(core, 20), 5)
    assert session.finish() == _core.FINISH_LENGTH
    with pytest.raises(RuntimeFault, match="nothing to go on from"):
        _core.Session(core, context=64).generate(4)
    with pytest.raises(RuntimeFault, match="max_tokens is 0"):
        session.generate(0)
    with pytest.raises(RuntimeFault, match="sampling options out of range"):
        session.generate(4, 0, -1.0)


def test_append_takes_back_drafts(core: _core.Model) -> None:
    prompt = row(core, 30) * 3
    session = fed(core, prompt, logit_rows=9)
    session.generate(60, 8)
    while session.step() != TOKEN or len(session.tokens()[1]) < len(prompt) + 20:
        pass
    tokens = session.tokens()[1]
    session.append([9, 8, 7])
    assert session.tokens()[1] == [*tokens, 9, 8, 7]
    assert session.step() == LOGITS
    assert session.logits()[1] == fed(core, [*tokens, 9, 8, 7]).logits()[1]
