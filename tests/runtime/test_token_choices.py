"""What tokens are chosen by: penalties and biases as OpenAI defines them, and what is kept of each choice."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from tinsmith import _core
from tinsmith.constraint.makers import choices, regex, schema
from tinsmith.errors import InputError, RuntimeFault
from tinsmith.runtime import Model
from tinsmith.runtime.generation import TokenRequest
from tinsmith.runtime.scheduler import Scheduler

PROMPT = [5, 9, 5, 9, 5, 9, 7, 5]
PENALTIES: list[dict[str, Any]] = [
    {"presence_penalty": 1.5},
    {"frequency_penalty": 0.4},
    {"presence_penalty": -2.0, "frequency_penalty": 1.3, "repetition_penalty": 1.2},
    {"logit_bias": {9: 3.0, 40: -100.0, 41: -math.inf}},
    {"logit_bias": {k: (k % 7) / 2 for k in range(3, 100)}, "presence_penalty": 2.0, "frequency_penalty": -0.5},
]


def greedy(model: Model, count: int, options: dict[str, Any]) -> list[int]:
    """By NumPy, of the logits of one evaluation a token."""
    answer: list[int] = []
    for _ in range(count):
        scores = np.array(model.logits([*PROMPT, *answer]))[-1].copy()
        for token, value in options.get("logit_bias", {}).items():
            scores[token] += np.float32(value)
        penalty = np.float32(options.get("repetition_penalty", 1.0))
        for token in {*PROMPT, *answer}:
            scores[token] = scores[token] / penalty if scores[token] > 0 else scores[token] * penalty
        counts = np.bincount(answer, minlength=scores.size).astype(np.float32)
        scores -= counts * np.float32(options.get("frequency_penalty", 0.0))
        scores -= (counts > 0) * np.float32(options.get("presence_penalty", 0.0))
        token = int(scores.argmax())
        if model.core.token(token)[2]:
            break
        answer.append(token)
    return answer


@pytest.mark.parametrize("options", PENALTIES, ids=str)
def test_answers_are_penalized_as_openai_defines_it(model: Model, options: dict[str, Any]) -> None:
    """By drafts and without them, and in a batch."""
    wanted = greedy(model, 24, options)
    given: dict[str, Any] = {**options, "max_tokens": 24, "constraint": None}
    assert model.generate(PROMPT, lookup=0, **given).token_ids == wanted
    drafted = model.generate(PROMPT, lookup=4, **given)
    assert drafted.token_ids == wanted
    many = model.generate_many([PROMPT, [5, 6], PROMPT], lookup=3, **given)
    assert many[0].token_ids == many[2].token_ids == wanted
    assert model.generate(PROMPT, max_tokens=24, constraint=None).token_ids != wanted


@pytest.mark.parametrize("options", PENALTIES, ids=str)
def test_drafts_change_no_token_that_is_drawn(model: Model, options: dict[str, Any]) -> None:
    for held in (None, regex("[a-z ]*")):
        given: dict[str, Any] = {**options, "max_tokens": 30, "temperature": 0.7, "seed": 5, "constraint": held}
        plain = model.generate(PROMPT, lookup=0, **given)
        for lookup in (1, 4, 8):
            assert model.generate(PROMPT, lookup=lookup, **given).token_ids == plain.token_ids


def test_an_answer_goes_on_with_the_penalties_that_it_had(model: Model) -> None:
    """Whoever begins a generation anew says how much of it is the answer already."""
    session = _core.Session(model.core, context=100)
    session.append(PROMPT)
    session.generate(20, presence_penalty=1.0, frequency_penalty=0.5)
    whole = []
    while session.step() == _core.STEP_TOKEN:
        whole.append(session.token())
    session.replace([*PROMPT, *whole[:7]])
    session.generate(13, presence_penalty=1.0, frequency_penalty=0.5, answered=7)
    rest = []
    while session.step() == _core.STEP_TOKEN:
        rest.append(session.token())
    assert [*whole[:7], *rest] == whole


def test_invalid_penalties_are_rejected(model: Model) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"presence_penalty": 2.1}, "presence_penalty is 2.1; give a number from -2 to 2"),
        ({"frequency_penalty": math.nan}, "frequency_penalty is nan"),
        ({"logit_bias": {10**6: 1}}, "logit_bias: token 1, 1000000, is not in the vocabulary"),
        ({"logit_bias": {-1: 1}}, "a token of logit_bias is -1"),
        ({"logit_bias": {"5": 1}}, "a token of logit_bias is '5'"),
        ({"logit_bias": {5: math.nan}}, "logit_bias of token 5 is nan"),
        ({"logit_bias": {5: math.inf}}, "logit_bias of token 5 is inf"),
        ({"logit_bias": [5]}, "logit_bias is not a mapping"),
        ({"tops": 65}, "tops is 65; give a whole number from 0 to 64"),
        ({"draft": [5], "presence_penalty": 1}, "a draft is checked at temperature 0, without"),
        ({"draft": [5], "logit_bias": {5: 1}}, "a draft is checked at temperature 0, without"),
        ({"draft": [5], "record": True}, "leave out the draft, or these"),
    ]
    for options, message in wrong:
        with pytest.raises(InputError, match=message):
            model.generate(PROMPT, max_tokens=1, constraint=None, **options)


def test_each_choice_is_that_of_the_softmax(model: Model) -> None:
    """Log-probabilities by NumPy, of the model's own logits, whatever is drawn of them."""
    options: dict[str, Any] = {"temperature": 1.4, "seed": 3, "presence_penalty": 1.0, "top_k": 20}
    answer = model.generate(
        PROMPT, max_tokens=24, tops=5, lookup=4, confidence=True, constraint=None, **options
    )
    rows = np.array(model.logits([*PROMPT, *answer.token_ids]))[len(PROMPT) - 1 :]
    assert [one.token for one in answer.choices] == answer.token_ids
    for choice, row in zip(answer.choices, rows, strict=False):
        wide = row.astype(np.float64)
        shares = wide - wide.max() - np.log(np.exp(wide - wide.max()).sum())
        assert (choice.forced, choice.allowed) == (False, None)
        assert np.float32(choice.logit) == row[choice.token]
        assert abs(choice.log_probability - shares[choice.token]) < 1e-6
        order = np.lexsort((np.arange(row.size), -row))[:5].tolist()
        assert [token for token, _ in choice.tops] == order
        assert np.abs([share for _, share in choice.tops] - shares[order]).max() < 1e-6
    assert answer.log_probability is not None
    assert answer.log_probability <= sum(one.log_probability for one in answer.choices) + 1e-9


def test_what_must_come_is_no_choice(model: Model) -> None:
    """The mask says how many might have come elsewhere; their shares are of those alone."""
    held = schema({"type": "object", "properties": {"on": {"enum": ["red", "reed"]}}, "required": ["on"]})
    prompt = model.tokenize("the thing is", special=True, bos=True)
    answer = model.generate(prompt, constraint=held, tops=4, confidence=True, temperature=1.0, seed=2)
    json.loads(answer.text)
    walk = _core.Constraint(model.core, held.data)
    chosen = 0
    for place, choice in enumerate(answer.choices):
        mask = np.frombuffer(walk.mask(256 - place), np.uint8)
        allowed = np.flatnonzero(np.unpackbits(mask, bitorder="little"))
        run = walk.forced([*prompt, *answer.token_ids[:place]])
        assert choice.forced == (len(allowed) == 1 or run[:1] == [choice.token])
        if choice.forced:
            assert (choice.allowed, choice.logit, choice.log_probability, choice.tops) == (1, 0, 0, ())
        else:
            chosen += 1
            assert choice.allowed == len(allowed)
            wide = np.array(model.logits([*prompt, *answer.token_ids[:place]]))[-1].astype(np.float64)[allowed]
            shares = dict(zip(allowed.tolist(), wide - np.log(np.exp(wide).sum()), strict=True))
            assert abs(shares[choice.token] - choice.log_probability) < 1e-5
            assert {token for token, _ in choice.tops} <= set(shares)
            assert len(choice.tops) == min(4, len(allowed))
        walk.accept(choice.token)
    assert 0 < chosen < len(answer.choices)
    assert answer.log_probability == pytest.approx(sum(one.log_probability for one in answer.choices))


@pytest.mark.parametrize("held", [None, "[a-z ]*", "(the |thing )*"])
def test_choices_are_the_same_however_they_are_computed(model: Model, held: str | None) -> None:
    constraint = held and regex(held)
    options: dict[str, Any] = {"max_tokens": 30, "tops": 3, "confidence": True, "temperature": 0.6, "seed": 9}
    alone = [
        model.generate(PROMPT, constraint=constraint, lookup=lookup, **options).choices for lookup in (0, 1, 4)
    ]
    many = model.generate_many([PROMPT, [5, 6, 7], PROMPT], constraint=constraint, lookup=4, **options)
    stream = model.answering(PROMPT, constraint=constraint, **options)
    assert "".join(stream.pieces()) == many[0].text
    assert (
        alone[0] and [*alone, many[0].choices, many[2].choices, stream.completion().choices] == [alone[0]] * 6
    )
    bare = model.generate(
        PROMPT, constraint=constraint, **{**options, "tops": 0, "confidence": False}, record=True
    )
    assert [(one.token, one.logit, one.allowed) for one in bare.choices] == [
        (one.token, one.logit, one.allowed) for one in alone[0]
    ]
    assert not any(one.log_probability or one.tops for one in bare.choices)
    assert model.generate(PROMPT, constraint=constraint, max_tokens=3).choices == ()


def test_choices_come_with_the_text(model: Model) -> None:
    scheduler = Scheduler(model, slots=2)
    job = scheduler.add(TokenRequest(tokens=PROMPT, max_tokens=6, tops=2))
    other = scheduler.add(TokenRequest(tokens=PROMPT, max_tokens=6))
    while scheduler.running or scheduler.waiting:
        scheduler.step()
        assert len(job.choices) == len(job._answer.tokens)
    assert job.completion is not None and job.completion.choices == tuple(job.choices)
    assert len(job.choices) == 6 and other.choices == []
    with pytest.raises(InputError, match="tops is 65"):
        scheduler.add(TokenRequest(tokens=PROMPT, tops=65))


def test_a_session_tells_of_its_last_event_alone(model: Model) -> None:
    """The end is chosen too, where it need not come."""
    session = _core.Session(model.core, context=64)
    with pytest.raises(RuntimeFault, match="keeps no choices"):
        session.choice()
    with pytest.raises(RuntimeFault, match="65 alternatives of a choice; at most 64"):
        session.record(65)
    session.record(2)
    session.append(PROMPT)
    assert session.step() == _core.STEP_LOGITS
    with pytest.raises(RuntimeFault, match="the last step gave no token"):
        session.choice()
    end = next(k for k in range(model.info.vocab) if model.core.token(k)[2])
    session.generate(3, biases={end: 100.0})
    assert session.step() == _core.STEP_DONE
    allowed, logit, share, tops = session.choice()
    assert (allowed, len(tops)) == (model.info.vocab, 2) and share < tops[0][1] and logit != 0
    session.generate(1)
    assert [session.step(), session.step()] == [_core.STEP_TOKEN, _core.STEP_DONE]
    with pytest.raises(RuntimeFault, match="the last step gave no token"):
        session.choice()
    held = _core.Constraint(model.core, choices(["a"]).data)
    session.constrain(held)
    session.generate(5)
    while session.step() != _core.STEP_DONE:
        assert session.choice()[0] == 1
    assert session.choice() == (1, 0.0, 0.0, ())
    session.record(None)
    with pytest.raises(RuntimeFault, match="keeps no choices"):
        session.choice()


def test_the_modules_hide_no_name_of_the_package() -> None:
    import tinsmith.runtime.scheduler  # loads what there is of these

    assert all(callable(getattr(tinsmith.runtime, name)) for name in tinsmith.runtime.__all__)
