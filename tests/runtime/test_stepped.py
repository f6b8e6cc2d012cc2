"""Answers in slices of a caller's loop: those of one generation, whatever the slices."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any, cast

import pytest

from tinsmith import _core
from tinsmith.constraint.makers import choices, regex
from tinsmith.errors import InputError
from tinsmith.runtime import Model, stepped

PROMPT = [5, 70, 71, 72, 73, 74]
TURN = [{"role": "user", "content": "the thing is in the"}]
WORDS = regex("the [a-z ]{30,200}")
OPTIONS: dict[str, dict[str, Any]] = {
    "greedy": {"constraint": None},
    "drawn": {"constraint": None, "temperature": 1.2, "seed": 5, "confidence": True},
    "held": {"constraint": WORDS},
    "choice": {"constraint": choices(["in the bin", "in the beginning"])},
    "stopped": {"constraint": None, "stop": ["e"], "temperature": 1.2},
    "forced": {"constraint": choices(["in the bin"])},
    "recorded": {"constraint": None, "tops": 2},
}


def read(answer: stepped.Stepped, seconds: float) -> list[str]:
    pieces = []
    while not answer.done:
        pieces.append(answer.step_for(seconds))
    return pieces


def same(one: Any, other: Any) -> bool:
    """Of all that does not depend on the time, as drafts do that are worth what they cost."""
    return replace(one, seconds=0, evaluations=0) == replace(other, seconds=0, evaluations=0)


@pytest.mark.parametrize("seconds", [-math.inf, -1e-3, 0, 1e-9, 50e-6, 1e300, math.inf])
@pytest.mark.parametrize("options", OPTIONS)
def test_slices_give_the_answer_of_one_generation(model: Model, options: str, seconds: float) -> None:
    given = {"max_tokens": 30, **OPTIONS[options]}
    for prompt, whole in ((PROMPT, model.generate(PROMPT, **given)), (TURN, model.chat(TURN, **given))):
        answer = model.begin(prompt, **given)
        pieces = read(answer, seconds)
        assert same(answer.completion, whole)
        assert "".join(pieces) == whole.text
        if seconds >= 1e300:
            assert len(pieces) == 1
        elif seconds < 50e-6:  # which is enough for a choice on a fast machine
            assert len(pieces) > 1 or options == "forced"


def test_a_question_is_a_users_message(model: Model) -> None:
    answer = model.begin(TURN[0]["content"], max_tokens=9)
    read(answer, 0)
    assert same(answer.completion, model.chat(TURN, max_tokens=9))


def test_a_slice_is_what_the_step_is_given(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of its own: a step gets what is left of the slice, and none follows its end."""
    now = count(0, 1000)  # every look at the clock takes a microsecond
    monkeypatch.setattr(stepped.time, "perf_counter_ns", lambda: next(now))
    answer = model.begin(PROMPT, max_tokens=20, constraint=None)
    given: list[int] = []
    budget = type(answer._run)._budget
    monkeypatch.setattr(type(answer._run), "_budget", lambda run: given.append(budget(run)) or given[-1])
    for slice_ns in (3_000, 5_000, 8_000):
        given.clear()
        answer.step_for(slice_ns / 1e9)
        assert given and max(given) < slice_ns and given == sorted(given, reverse=True)
        assert len(given) <= slice_ns // 1000


def test_what_does_not_fit_the_rest_of_a_slice_waits_for_the_next() -> None:
    """The core puts a choice off that would come too late; asked again at once, it would make it."""

    class Run:
        deadline = 0

        def pieces(self) -> Iterator[str]:
            yield from ("", "a", "", "b")

    answer = stepped.Stepped(cast(Any, Run()), True)
    assert [answer.step_for(100) for _ in range(3)] == ["a", "b", ""]
    assert answer.done


def test_little_is_done_in_a_slice(model: Model) -> None:
    """A prompt alone takes many of the smallest slices, and nothing is computed between them."""
    prompt = [(7 * k * k + 3 * k) % 200 + 5 for k in range(300)]
    answer = model.begin(prompt, max_tokens=4, constraint=None)
    session, slices = model._sessions._sessions[-1].session, 0
    while session.computed() == 0:
        assert answer.step_for(0) == ""
        slices += 1
    assert slices > 5
    position = session.computed()
    assert session.computed() == position and not answer.done


def test_no_thread_is_started(model: Model) -> None:
    before = threading.active_count()
    answer = model.begin(PROMPT, max_tokens=9)
    answer.step_for(0)
    assert threading.active_count() == before
    answer.cancel()


@pytest.mark.parametrize("slices", [0, 1, 40])
@pytest.mark.parametrize("options", ["greedy", "held"])
def test_cancel_leaves_no_state(
    model: Model, image: Callable[[str], memoryview], options: str, slices: int
) -> None:
    given = {"max_tokens": 60, **OPTIONS[options]}
    fresh = Model(_core.Model(image("Q8_0")), image("Q8_0"), threads=1).generate(PROMPT, **given)
    answer = model.begin(PROMPT, **given)
    for _ in range(slices):
        answer.step_for(0)
    assert not answer.done
    answer.cancel()
    assert answer.done and answer.step_for(1) == ""
    with pytest.raises(InputError, match="was cancelled"):
        _ = answer.completion
    again = model.generate(PROMPT, **given)
    assert (again.text, again.token_ids) == (fresh.text, fresh.token_ids)


def test_a_done_answer_stays(model: Model) -> None:
    answer = model.begin(PROMPT, max_tokens=3)
    with pytest.raises(InputError, match="not complete; call step_for"):
        _ = answer.completion
    read(answer, math.inf)
    answer.cancel()
    assert answer.completion.text == model.generate(PROMPT, max_tokens=3).text
    assert answer.step_for(1) == ""


def test_one_whose_session_was_taken_says_so_once(model: Model) -> None:
    answer = model.begin(PROMPT, max_tokens=30, constraint=None)
    model.generate([5, 6], max_tokens=2, constraint=None)
    with pytest.raises(InputError, match="has taken its session"):
        read(answer, math.inf)
    assert answer.done and answer.step_for(1) == ""
    with pytest.raises(InputError, match="was cancelled"):
        _ = answer.completion


@pytest.mark.parametrize("seconds", [math.nan, "1", None])
def test_seconds_are_seconds(model: Model, seconds: Any) -> None:
    answer = model.begin(PROMPT, max_tokens=3)
    with pytest.raises(InputError, match="seconds is .*; give a number from -inf to inf"):
        answer.step_for(seconds)
    assert read(answer, 1)
