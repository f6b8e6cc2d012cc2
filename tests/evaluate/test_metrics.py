from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tinsmith.errors import UnsupportedError
from tinsmith.evaluate import metrics

RIGHT = '{"name": "LightSet", "arguments": {"area": "kitchen", "brightness": 40}}'


def grade(answer: str, *accept: str, task: str = "call", output: str = RIGHT) -> metrics.Grade:
    return metrics.grade(task, answer, output, accept, frozenset({"yes", "no"}))


@pytest.mark.parametrize(
    "answer",
    [
        RIGHT,
        f"  {RIGHT}\n",
        '{"arguments":{"brightness":40.0,"area":"kitchen"},"name":"LightSet"}',
        '{"name": "LightSet", "arguments": {"area": "k\\u0069tchen", "brightness": 4e1}}',
    ],
)
def test_exact_is_equality_of_json_values(answer: str) -> None:
    assert grade(answer) == metrics.Grade(True, True, True, True, "LightSet")


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "kitchen",
        RIGHT + " and more",
        "```json\n" + RIGHT + "\n```",
        RIGHT[:-1],
        '{"name": "LightSet", "name": "LightSet", "arguments": {}}',
        '{"name": "LightSet", "arguments": {"a": 1, "a": 1}}',
        '{"name": "LightSet", "arguments": {"a": NaN}}',
        '{"name": "LightSet"}',
        '{"name": 1, "arguments": {}}',
        '{"name": "LightSet", "arguments": []}',
        '{"name": "LightSet", "arguments": {}, "why": ""}',
        '[{"name": "LightSet", "arguments": {}}]',
        "[" * 100_000,
    ],
)
def test_what_is_not_a_strict_call_is_invalid(answer: str) -> None:
    assert grade(answer) == metrics.Grade(False, False, False, False, None)


def test_right_function_with_wrong_arguments() -> None:
    answer = '{"name": "LightSet", "arguments": {"area": "kitchen", "brightness": "40"}}'
    assert grade(answer) == metrics.Grade(True, True, False, False, "LightSet")
    assert grade(answer, answer).equivalent


def test_json_equality_keeps_booleans_and_numbers_apart() -> None:
    assert not metrics.json_equal({"on": True}, {"on": 1})
    assert not metrics.json_equal([0], [False])
    assert metrics.json_equal({"a": [1, None]}, {"a": [1.0, None]})


def test_other_tasks() -> None:
    assert grade('{"b": 2, "a": 1}', task="extract", output='{"a": 1, "b": 2}').exact
    assert grade('{"a": 1}', task="extract", output='{"a": 1}').function is None
    assert grade(" yes ", task="classify", output="yes") == metrics.Grade(True, True, True, True, "yes")
    assert grade("maybe", task="classify", output="yes") == metrics.Grade(False, False, False, False, "maybe")
    assert grade("so it is", "so it is", task="chat", output="it is") == metrics.Grade(
        True, None, False, True, None
    )
    with pytest.raises(UnsupportedError, match="the tasks are call, extract"):
        grade("x", task="cal")


def test_the_interval_is_the_bootstrap_of_resampled_items() -> None:
    hits, items = 340, 500
    values = np.repeat([1.0, 0.0], [hits, items - hits])
    rng = np.random.default_rng(1)
    means = values[rng.integers(0, items, (20_000, items))].mean(axis=1)
    oracle = np.percentile(means, [2.5, 97.5])
    assert metrics.interval(hits, items, 20_000, seed=0) == pytest.approx(oracle, abs=0.003)


def test_intervals_of_certain_results_have_no_width() -> None:
    assert metrics.interval(0, 10, 2000, 0) == (0.0, 0.0)
    assert metrics.interval(10, 10, 2000, 0) == (1.0, 1.0)
    assert metrics.interval(0, 0, 2000, 0) == (0.0, 1.0)


def test_summary_by_part() -> None:
    right, wrong = grade(RIGHT), grade("no")
    summary: dict[str, Any] = metrics.summarize([right, wrong, right, wrong], ["a", "a", "b", None], 2000, 0)
    assert summary["items"] == 4
    assert (summary["valid"], summary["exact"]) == (0.5, 0.5)
    low, high = summary["exact_interval"]
    assert 0 <= low < 0.5 < high <= 1
    assert {part: s["exact"] for part, s in summary["parts"].items()} == {"a": 0.5, "b": 1.0}
    json.dumps(summary)


def test_a_metric_that_the_task_lacks_is_none() -> None:
    summary = metrics.summarize([grade("{}", task="extract", output="{}")], [None], 2000, 0)
    assert summary["function"] is None
    assert summary["function_interval"] is None
    assert summary["parts"] == {}
