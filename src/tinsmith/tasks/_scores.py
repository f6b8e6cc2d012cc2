"""Precision, recall and F1 of answered against expected values, as multisets of named values; and the
calibration of probabilities: of answers given with 80 %, 80 % should be right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BINS = 15  # of a reliability diagram
Named = tuple[str, Hashable]  # a row's name, and a value of it


@dataclass
class Counts:
    """right: answered and expected; answered, expected: all of them."""

    right: int = 0
    answered: int = 0
    expected: int = 0

    def scores(self) -> dict[str, float]:
        """Where there is nothing to count, a score is 0, as in scikit-learn."""
        precision = self.right / self.answered if self.answered else 0.0
        recall = self.right / self.expected if self.expected else 0.0
        both = self.answered + self.expected
        return {"precision": precision, "recall": recall, "f1": 2 * self.right / both if both else 0.0}


def counted(pairs: Iterable[tuple[Iterable[Named], Iterable[Named]]]) -> dict[str, Counts]:
    """The counts by row, sorted by name. pairs: the answered and the expected values of each item."""
    rows: dict[str, Counts] = {}
    for answered, expected in pairs:
        given, wanted = Counter(answered), Counter(expected)
        for attribute, bag in (("right", given & wanted), ("answered", given), ("expected", wanted)):
            for (name, _), count in bag.items():
                row = rows.setdefault(name, Counts())
                setattr(row, attribute, getattr(row, attribute) + count)
    return dict(sorted(rows.items()))


def micro(rows: Mapping[str, Counts]) -> dict[str, float]:
    """Over all values, whatever their row."""
    counts = ((row.right, row.answered, row.expected) for row in rows.values())
    return Counts(*map(sum, zip(*counts, strict=True))).scores()


def macro_f1(rows: Mapping[str, Counts]) -> float:
    """The mean of the rows' F1: a row with few values counts as much as one with many."""
    return mean(row.scores()["f1"] for row in rows.values())


def table(rows: Mapping[str, Counts]) -> dict[str, dict[str, float]]:
    return {name: {**row.scores(), "expected": row.expected} for name, row in rows.items()}


def mean(values: Iterable[float]) -> float:
    """0 without values. Of booleans, the share that is true."""
    listed = list(values)
    return sum(listed) / len(listed) if listed else 0.0


def reliability(confidences: Sequence[float], right: Sequence[bool]) -> list[dict[str, Any]]:
    """The non-empty bins of a reliability diagram, of equal width: mean confidence, share of right answers, and
    their number. A confidence at an edge belongs to the bin below it."""
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for confidence, is_right in zip(confidences, right, strict=True):
        # The edges are k / BINS in floats, as from numpy.linspace.
        place = next(k for k in range(BINS) if confidence <= (k + 1) / BINS or k == BINS - 1)
        bins[place].append((confidence, is_right))
    return [
        {
            "confidence": mean(confidence for confidence, _ in found),
            "right": mean(is_right for _, is_right in found),
            "items": len(found),
        }
        for found in bins
        if found
    ]


def calibration_error(bins: Sequence[dict[str, Any]]) -> float:
    """The expected calibration error (Naeini, Cooper and Hauskrecht, AAAI 2015) with the 15 bins of Guo et al.,
    "On Calibration of Modern Neural Networks" (ICML 2017): the mean distance of share right and confidence."""
    items = sum(found["items"] for found in bins)
    distance = sum(found["items"] * abs(found["right"] - found["confidence"]) for found in bins)
    return float(distance / max(1, items))
