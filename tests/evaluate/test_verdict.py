"""The rules that docs/compare.md states, each with figures that it decides and figures that it does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tinsmith.evaluate.doubling import Doubling
from tinsmith.evaluate.verdict import BOTH, DONT, MORE, TUNE, Changed, Evidence, Standing, Worst, decide

UNTOLD = Doubling(2000, "2 sizes of training data; a line through them needs 3")
RISES = Doubling(2000, "", exact=0.9, exact_interval=(0.85, 0.95), gain=0.06, gain_interval=(0.03, 0.09))
WEAK = Worst("label refund", 20, 9, 12)


def right(count: int, items: int = 100) -> list[bool]:
    """So many right answers; those of the lesser system are among another's."""
    return [place < count for place in range(items)]


def evidence(
    prompted: int, tuned: int, /, *, both: int = 0, items: int = 100, costs: Any = (100.0, 10.0), **more: Any
) -> Evidence:
    """Systems with so many answers right. costs: of an item of the prompted and of the tuned system."""
    found = Evidence(
        examples=1000,
        prompted=Standing("few-shot", right(prompted, items), costs[0]),
        retrieval=Standing("retrieval", right(prompted, items), 100.0),
        tuned=Standing("tuned", right(tuned, items), costs[1]),
        both=Standing("tuned + retrieval", right(both, items), 40.0),
        doubling=UNTOLD,
        worst=[WEAK],
    )
    return replace(found, **more)


def changed(retrieval: int, tuned: int, both: int, stated: bool = True) -> Changed:
    """Of 40 answers that changed."""
    return Changed(right(retrieval, 40), right(tuned, 40), right(both, 40), kept=0.8, stated=stated)


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        # What was trained is surely better.
        (evidence(10, 80), TUNE),
        (evidence(10, 80, both=78), TUNE),
        (evidence(10, 80, both=95), BOTH),
        (evidence(60, 62, both=90), BOTH),
        (evidence(50, 54, both=58), BOTH),
        # It is not, and would not be.
        (evidence(80, 10), DONT),
        (evidence(80, 70, examples=99), MORE),
        (evidence(80, 70, doubling=RISES), MORE),
        (evidence(95, 70, doubling=RISES), DONT),
        # As good, and cheaper by ten; or within what can't be told of as good.
        (evidence(90, 90), TUNE),
        (evidence(90, 86), DONT),
        (evidence(90, 90, costs=(100.0, 80.0)), DONT),
        (evidence(90, 90, costs=(None, 10.0)), DONT),
        # What is right changes: the recipe says so, or it was only tried.
        (evidence(80, 82, changed=changed(30, 2, 5)), DONT),
        (evidence(80, 98, both=97, changed=changed(30, 2, 28)), BOTH),
        (evidence(40, 95, changed=changed(12, 2, 2)), TUNE),
        (evidence(10, 80, changed=changed(30, 2, 5, stated=False)), TUNE),
        (evidence(80, 82, both=80, changed=changed(3, 2, 3)), TUNE),
        # Too few to test on, whatever they say.
        (evidence(10, 80, items=29), MORE),
    ],
)
def test_the_first_rule_that_applies_decides(seen: Evidence, verdict: str) -> None:
    found = decide(seen)
    assert found.verdict == verdict
    assert found.reasons


def test_what_to_collect_is_what_is_worst() -> None:
    assert str(decide(evidence(80, 70, examples=99))) == (
        "collect more: label refund (9 of 20 wrong; 12 training examples)"
    )
    assert decide(evidence(80, 70, examples=99, worst=[])).what == "every kind of example"
    assert decide(evidence(10, 80, items=10)).what == "test examples"


def test_a_model_that_is_worth_tuning_may_want_more_of_something() -> None:
    found = decide(evidence(10, 80, doubling=RISES))
    assert found.also == [
        "collect more of label refund (9 of 20 wrong; 12 training examples): twice the examples (2,000) "
        "should bring +6.0 points (95 %: +3.0 to +9.0), to 90.0 % right"
    ]
    assert decide(evidence(10, 80)).also == []


def test_reasons_say_the_figures() -> None:
    told = decide(evidence(10, 80)).reasons
    assert told == [
        "tuned has 80.0 % right, few-shot 10.0 %, 4.5 times fewer errors: 70 of 100 items only the first, 0 "
        "only the second (p < 0.0001)",
        "an item costs 10.0 times less",
    ]


def test_a_change_that_was_tried_is_told_beside_the_verdict() -> None:
    found = decide(evidence(10, 80, changed=changed(30, 2, 5, stated=False)))
    assert found.also == [
        "when what is right changes, train again: of 40 answers that changed by swapping what answers know, "
        "the tuned model has 5.0 % right and gives 80.0 % as before; retrieval has 75.0 % right"
    ]
