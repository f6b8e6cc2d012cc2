"""Under a constraint the output head is computed for tokens that may be chosen, and for no others: what it
gives those is what the whole head gives."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest

import tinsmith
from tinsmith import _core
from tinsmith.constraint import Constraint
from tinsmith.errors import RuntimeFault
from tinsmith.runtime import Model

CASES = 40
PROMPT = [5, 9, 5, 9, 5, 9, 7, 5]


def words(chance: random.Random, least: int) -> list[str]:
    letters = "".join(chance.sample("abcdefghijklmnopqrstuvwxyz0123456789 ", chance.randint(2, 30)))
    return sorted(
        {"".join(chance.choices(letters, k=chance.randint(1, 6))) for _ in range(chance.randint(least, 20))}
    )


def session(model: _core.Model, rows: int = 5) -> _core.Session:
    return _core.Session(model, context=128, logit_rows=rows)


def whole_rows(model: _core.Model, tokens: list[int]) -> np.ndarray:
    """The logits of every token, of a session without a constraint."""
    made = session(model, 16)
    made.want_logits(0)
    made.append(tokens)
    rows = []
    while made.step() == _core.STEP_LOGITS:
        rows.append(np.frombuffer(made.logits()[1], np.float32).copy())
    return np.concatenate(rows).reshape(len(tokens), -1)


def expected(
    core: _core.Model, constraint: Constraint, whole: np.ndarray, answer: list[int]
) -> list[np.ndarray]:
    """What each of the answer's tokens is chosen by, the end behind it included."""
    held, rows = _core.Constraint(core, constraint.data), []
    for k, token in enumerate([*answer, None]):
        mask = np.unpackbits(np.frombuffer(held.mask(), np.uint8), bitorder="little")[: whole.shape[1]]
        rows.append(np.where(mask == 1, whole[len(PROMPT) - 1 + k], -np.inf))
        if token is not None:
            held.accept(token)
    return rows


def checked(session: _core.Session, rows: list[np.ndarray], lookup: int, seed: int) -> int:
    """Generates, and compares what is there after each token; how many rows were."""
    session.generate(len(rows) + 8, lookup, 1.5, 0, 1.0, 0.0, 1.0, 0, seed)
    seen = 0
    while session.step() != _core.STEP_DONE:
        try:
            first, data = session.logits()
        except RuntimeFault:  # tokens that had to come were not evaluated for
            continue
        for k, row in enumerate(np.frombuffer(data, np.float32).reshape(-1, rows[0].size)):
            assert np.array_equal(row, rows[first + k - len(PROMPT) + 1])
            seen += 1
    return seen


@pytest.mark.parametrize("isa", _core.isa_names())
@pytest.mark.parametrize("lookup", [0, 4])
def test_rows_are_those_of_the_whole_head(image: Callable[[str], memoryview], isa: str, lookup: int) -> None:
    core, chance, seen = _core.Model(image("Q8_0"), isa), random.Random(lookup), 0
    for seed in range(CASES):
        constraint = tinsmith.choices(words(chance, 2))
        made = session(core)
        made.constrain(_core.Constraint(core, constraint.data))
        made.append(PROMPT)
        made.generate(40, 0, 1.5, 0, 1.0, 0.0, 1.0, 0, seed)
        while made.step() != _core.STEP_DONE:
            pass
        answer = made.tokens()[1][len(PROMPT) :]
        rows = expected(core, constraint, whole_rows(core, [*PROMPT, *answer]), answer)
        made.rewind(0)
        made.append(PROMPT)
        seen += checked(made, rows, lookup, seed)
        assert made.tokens()[1][len(PROMPT) :] == answer
    assert seen > CASES


def test_whole_rows_on_request(model: Model) -> None:
    whole = whole_rows(model.core, PROMPT)[-1].tobytes()
    for wanted in (True, False):
        made = session(model.core)
        made.constrain(_core.Constraint(model.core, tinsmith.choices(["yes", "no"]).data))
        made.append(PROMPT)
        if wanted:
            made.want_logits(len(PROMPT) - 1)
        made.generate(9)
        made.step()
        assert (made.logits()[1][: len(whole)] == whole) == wanted


def test_a_generation_behind_an_end_that_was_chosen_has_whole_rows(model: Model) -> None:
    made, ended = session(model.core), 0
    held = _core.Constraint(model.core, tinsmith.regex("[a-z]{0,40}").data)
    for seed in range(200):
        made.rewind(0)
        made.constrain(held)
        made.append(PROMPT)
        made.generate(30, 0, 1.5, 0, 1.0, 0.0, 1.0, 0, seed)
        while made.step() != _core.STEP_DONE:
            pass
        tokens = made.tokens()[1]
        if made.finish() == 1 and made.computed() == len(tokens):  # its row of logits is still there
            ended += 1
            made.constrain(None)
            made.generate(6)
            while made.step() != _core.STEP_DONE:
                pass
            wanted = model.generate(tokens, max_tokens=6, constraint=None).token_ids
            assert made.tokens()[1][len(tokens) :] == wanted
    assert ended > 3
