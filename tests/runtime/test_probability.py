"""How likely a model's choices were, beside what all its logits say of the tokens that were allowed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinsmith
from tests.runtime.forced_tokens import Forced
from tinsmith import _core
from tinsmith.constraint import Constraint
from tinsmith.runtime import Completion, Model


def expected(
    model: Model, prompt: Sequence[int], answer: Completion, held: Constraint | None, most: int
) -> list[float]:
    """The logarithm of the product of the chosen tokens' shares among those allowed where they were chosen; for
    each token that may have ended the answer."""
    if answer.finish != "stop":
        return [logarithm(model, prompt, answer.token_ids, held, most)]
    ends = [token for token in range(model.info.vocab) if model.core.token(token)[2]]
    return [logarithm(model, prompt, [*answer.token_ids, end], held, most) for end in ends]


def logarithm(
    model: Model, prompt: Sequence[int], wanted: Sequence[int], held: Constraint | None, most: int
) -> float:
    logits = np.asarray(model.logits([*prompt, *wanted])).astype(np.float64)[len(prompt) - 1 : -1]
    forced = set(Forced(model, held.data)(prompt, wanted)) if held else set()
    walk = _core.Constraint(model.core, held.data) if held else None
    if walk:
        walk.begin()
    total = 0.0
    for place, token in enumerate(wanted):
        allowed = np.ones(model.info.vocab, bool)
        if walk:
            bits = np.frombuffer(walk.mask(most - place), np.uint8)
            allowed = np.unpackbits(bits, bitorder="little")[: model.info.vocab].astype(bool)
        if place not in forced:
            row = np.where(allowed, logits[place], -np.inf)
            total += float(row[token] - row.max() - np.log(np.exp(row - row.max()).sum()))
        if walk and not model.core.token(token)[2]:
            walk.accept(token)
    return total


def asked(model: Model, prompt: list[int], held: Constraint | None, **options: Any) -> Completion:
    return model.generate(prompt, constraint=held, confidence=True, **options)


CONSTRAINTS = {
    "none": None,
    "end": "on*",
    "choice": "the answer is [ab]!",
    "words": "(yes|no|perhaps) [a-z]+ [0-9]{2}",
}


@pytest.mark.parametrize("kind", CONSTRAINTS)
@pytest.mark.parametrize(
    "options", [{}, {"temperature": 1.0, "seed": 3}, {"temperature": 1.3, "top_k": 5}], ids=str
)
def test_it_is_the_product_of_the_choices_shares(model: Model, kind: str, options: dict[str, Any]) -> None:
    pattern = CONSTRAINTS[kind]
    held = tinsmith.regex(pattern) if pattern else None
    prompt = model.tokenize("the lamp in the kitchen is on, on, on")
    answer = asked(model, prompt, held, max_tokens=25, **options)
    assert answer.log_probability is not None
    assert answer.probability == math.exp(answer.log_probability)
    wanted = expected(model, prompt, answer, held, 25)
    assert any(answer.log_probability == pytest.approx(one, abs=2e-5) for one in wanted)
    # The same number, however it was computed.
    for lookup in (0, 9):
        other = asked(model, prompt, held, max_tokens=25, **options, lookup=lookup)
        assert (other.token_ids, other.log_probability) == (answer.token_ids, answer.log_probability)
    (many, _) = model.generate_many(
        [prompt, prompt[:3]], constraint=held, confidence=True, max_tokens=25, **options
    )
    assert (many.token_ids, many.log_probability) == (answer.token_ids, answer.log_probability)
    assert model.generate(prompt, constraint=held, max_tokens=25, **options).probability is None


def test_what_must_come_counts_nothing(model: Model) -> None:
    answer = asked(model, model.tokenize("say it"), tinsmith.regex("nothing else"), max_tokens=60)
    assert answer.text == "nothing else"
    assert answer.log_probability == 0.0


def test_a_draft_changes_nothing(model: Model) -> None:
    prompt = model.tokenize("the lamp in the kitchen")
    plain = asked(model, prompt, None, max_tokens=12)
    assert plain.log_probability is not None
    for draft in (plain.token_ids, plain.token_ids[:5], [*plain.token_ids[:4], 9, 9], [9]):
        drafted = asked(model, prompt, None, max_tokens=12, draft=draft)
        assert drafted.token_ids == plain.token_ids
        assert drafted.log_probability == pytest.approx(plain.log_probability, abs=1e-9)


def test_it_is_the_same_on_every_instruction_set(base_gguf: Path) -> None:
    held = tinsmith.regex("(yes|no|perhaps) [a-z]+")
    seen = set()
    for isa in _core.isa_names():
        model = tinsmith.load(base_gguf, isa=isa)
        prompt = model.tokenize("the lamp")
        seen.add(
            (
                asked(model, prompt, held, max_tokens=9).log_probability,
                asked(model, prompt, None, max_tokens=9).log_probability,
            )
        )
    assert len(seen) == 1
