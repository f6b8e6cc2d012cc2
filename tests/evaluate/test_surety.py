"""Thresholds on an answer's probability: as many answers as an error rate allows, and what comes of it."""

from __future__ import annotations

import random

from tinsmith.evaluate import surety
from tinsmith.evaluate.surety import Point


def drawn(count: int, seed: int = 0) -> tuple[list[float], list[bool]]:
    """Answers that are the likelier to be right the likelier they are; many are as likely as others."""
    chance = random.Random(seed)
    logs = [-round(chance.expovariate(2), 2) for _ in range(count)]
    return logs, [chance.random() < 2.718 ** (0.7 * log) for log in logs]


def test_no_other_threshold_gives_more_answers() -> None:
    for seed in range(20):
        logs, right = drawn(200, seed)
        for error in (0.0, 0.02, 0.1, 0.5, 1.0):
            least = surety.threshold(logs, right, error)
            taken = surety.at(logs, right, least)
            assert taken.risk <= error
            every = [surety.at(logs, right, log) for log in set(logs)]
            assert taken.coverage == max(
                (point.coverage for point in every if point.risk <= error), default=0.0
            )


def test_the_likeliest_may_be_wrong() -> None:
    assert surety.threshold([-0.1, -0.2], [False, True], 0.4) is None
    assert surety.at([-0.1, -0.2], [False, True], None) == Point(0.0, 0.0)
    assert surety.threshold([], [], 0.1) is None


def test_the_curve_ends_with_all_answers() -> None:
    logs, right = drawn(1000)
    points = surety.curve(logs, right)
    assert len(points) <= surety.MOST_POINTS + 1
    assert points[-1] == Point(1.0, right.count(False) / 1000)
    assert [point.coverage for point in points] == sorted({point.coverage for point in points})
    for point in points:
        least = sorted(logs, reverse=True)[round(point.coverage * 1000) - 1]
        assert surety.at(logs, right, least) == point
