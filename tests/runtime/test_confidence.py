"""How sure a model was of an answer, beside the probabilities that all its logits give."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

import tinsmith
from tinsmith.runtime import Model


def probabilities(model: Model, prompt: Sequence[int], answer: Sequence[int]) -> list[float]:
    """Of each of the answer's tokens."""
    logits = np.asarray(model.logits([*prompt, *answer])).astype(np.float64)[len(prompt) - 1 : -1]
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    return [float(shares[place, token]) for place, token in enumerate(answer)]


def test_confidence_is_the_least_likely_tokens(model: Model) -> None:
    prompt = model.tokenize("the lamp in the kitchen")
    drawn = (model.generate(prompt, max_tokens=7, temperature=1.0, seed=seed) for seed in range(20))
    seed, answer = next((n, one) for n, one in enumerate(drawn) if one.finish == "length")
    expected = min(probabilities(model, prompt, answer.token_ids))
    assert model.confidence(prompt, answer) == pytest.approx(expected, rel=1e-4)
    # The session is as good as before for what comes next.
    assert model.generate(prompt, max_tokens=7, temperature=1.0, seed=seed).token_ids == answer.token_ids


def test_the_end_of_an_answer_is_a_choice(model: Model) -> None:
    prompt = model.tokenize("on or off")
    held = tinsmith.regex("on*")
    answer = model.generate(prompt, max_tokens=60, temperature=1.0, seed=1, constraint=held)
    assert answer.finish == "stop"
    wanted = [*answer.token_ids, model.end_token]
    own = probabilities(model, prompt, wanted)
    first = 1 if answer.token_ids[0] == model.tokenize("o")[0] else 0
    assert model.confidence(prompt, answer, constraint=held) == pytest.approx(min(own[first:]), rel=1e-4)
    assert model.confidence(prompt, answer, constraint=None) == pytest.approx(min(own), rel=1e-4)


def test_what_a_constraint_forces_is_no_choice(model: Model) -> None:
    prompt = model.tokenize("say it")
    held = tinsmith.regex("the answer is [ab]!")
    answer = model.generate(prompt, max_tokens=60, constraint=held)
    assert answer.text in ("the answer is a!", "the answer is b!")
    own = probabilities(model, prompt, answer.token_ids)
    chosen = model.confidence(prompt, answer, constraint=held)
    assert chosen > min(own)
    assert any(chosen == pytest.approx(share, rel=1e-4) for share in own)
    only = tinsmith.regex("nothing else")
    answer = model.generate(prompt, max_tokens=60, constraint=only)
    assert model.confidence(prompt, answer, constraint=only) == 1.0
