"""Whether probabilities are what they say: of answers given with 80 %, 80 % should be right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

BINS = 15


def reliability(confidences: Sequence[float], right: Sequence[bool]) -> list[dict[str, Any]]:
    """The bins of a reliability diagram, of equal width, those with answers: the mean confidence, the share
    that is right, and how many. A confidence at an edge is of the bin below it."""
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for confidence, is_right in zip(confidences, right, strict=True):
        # The edges are k / BINS as a float has them, as numpy.linspace gives them.
        place = next(k for k in range(BINS) if confidence <= (k + 1) / BINS or k == BINS - 1)
        bins[place].append((confidence, is_right))
    return [
        {
            "confidence": sum(confidence for confidence, _ in held) / len(held),
            "right": sum(is_right for _, is_right in held) / len(held),
            "items": len(held),
        }
        for held in bins
        if held
    ]


def error(bins: Sequence[dict[str, Any]]) -> float:
    """The expected calibration error (Naeini, Cooper and Hauskrecht, AAAI 2015) with the 15 bins of Guo et al.,
    "On Calibration of Modern Neural Networks" (ICML 2017): the mean distance of share right and confidence."""
    items = sum(held["items"] for held in bins)
    return float(sum(held["items"] * abs(held["right"] - held["confidence"]) for held in bins) / max(1, items))
