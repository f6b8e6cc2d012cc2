from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from tinsmith import tasks
from tinsmith.evaluate import metrics

RIGHT = '{"name": "LightSet", "arguments": {"area": "kitchen", "brightness": 40}}'


def grade(answer: str, *, task: str = "call", output: str = RIGHT) -> tasks.Grade:
    return tasks.by_name(task).grade(answer, output, (), frozenset())


def test_the_interval_is_the_bootstrap_of_resampled_items() -> None:
    hits, items = 340, 500
    values = np.repeat([1.0, 0.0], [hits, items - hits])
    rng = np.random.default_rng(1)
    means = values[rng.integers(0, items, (20_000, items))].mean(axis=1)
    oracle = np.percentile(means, [2.5, 97.5])
    assert metrics.interval(hits, items, 20_000, seed=0) == pytest.approx(oracle, abs=0.003)


@pytest.mark.parametrize("items", [1, 10, 500])
def test_items_that_are_all_alike_are_not_certain(items: int) -> None:
    for hits in (0, items):
        exact = binomtest(hits, items).proportion_ci(0.95, method="exact")
        assert metrics.interval(hits, items, 2000, 0) == pytest.approx((exact.low, exact.high))


def test_no_items_say_nothing() -> None:
    assert metrics.interval(0, 0, 2000, 0) == (0.0, 1.0)


def test_summary_by_part() -> None:
    right, wrong = grade(RIGHT), grade("no")
    summary: dict[str, Any] = metrics.summarize([right, wrong, right, wrong], ["a", "a", "b", None])
    assert summary["items"] == 4
    assert (summary["valid"], summary["exact"]) == (0.5, 0.5)
    low, high = summary["exact_interval"]
    assert 0 <= low < 0.5 < high <= 1
    assert {part: s["exact"] for part, s in summary["parts"].items()} == {"a": 0.5, "b": 1.0}
    json.dumps(summary)


def test_a_metric_that_the_task_lacks_is_none() -> None:
    summary = metrics.summarize([grade("{}", task="extract", output="{}")], [None])
    assert summary["function"] is None
    assert summary["function_interval"] is None
    assert summary["parts"] == {}
