"""Abstention: a threshold on an answer's probability, and its cost.

Selective prediction (El-Yaniv and Wiener, "On the Foundations of Noise-free Selective Classification", 2010):
the coverage is the share of questions that are answered, the risk the share of those answers that are wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MOST_POINTS = 100  # of a curve, so that a report stays small


@dataclass(frozen=True)
class Point:
    coverage: float
    risk: float


def threshold(logs: Sequence[float], right: Sequence[bool], error: float) -> float | None:
    """The lowest log probability at which at most the share `error` of the given answers is wrong; None if even
    the most probable answers have more errors."""
    allowed = [log for log, point in _points(logs, right) if point.risk <= error]
    return allowed[-1] if allowed else None


def at(logs: Sequence[float], right: Sequence[bool], least: float | None) -> Point:
    """Coverage and risk if answers from `least` on are given; None gives none."""
    given = [is_right for log, is_right in zip(logs, right, strict=True) if least is not None and log >= least]
    return Point(len(given) / max(1, len(logs)), given.count(False) / max(1, len(given)))


def curve(logs: Sequence[float], right: Sequence[bool]) -> list[Point]:
    """Risk over coverage, the most probable answers first."""
    points = [point for _, point in _points(logs, right)]
    step = max(1, -(-len(points) // MOST_POINTS))
    return [*points[step - 1 :: step], *([points[-1]] if len(points) % step else [])]


def _points(logs: Sequence[float], right: Sequence[bool]) -> list[tuple[float, Point]]:
    """Each log probability, the highest first, with the point where answers from it on are given."""
    ordered, wrong = sorted(zip(logs, right, strict=True), key=lambda pair: -pair[0]), 0
    points: dict[float, Point] = {}
    for count, (log, is_right) in enumerate(ordered, 1):
        wrong += not is_right
        points[log] = Point(count / len(ordered), wrong / count)
    return list(points.items())
