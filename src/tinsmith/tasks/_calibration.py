"""The calibration of probabilities: of answers given with 80 %, 80 % should be right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinsmith.tasks._scores import mean

BINS = 15


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


def error(bins: Sequence[dict[str, Any]]) -> float:
    """The expected calibration error (Naeini, Cooper and Hauskrecht, AAAI 2015) with the 15 bins of Guo et al.,
    "On Calibration of Modern Neural Networks" (ICML 2017): the mean distance of share right and confidence."""
    items = sum(found["items"] for found in bins)
    distance = sum(found["items"] * abs(found["right"] - found["confidence"]) for found in bins)
    return float(distance / max(1, items))
