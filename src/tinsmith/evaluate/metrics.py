"""Sums of grades: fractions valid, right function, exact and equivalent, with their confidence intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from tinsmith.tasks import Grade

METRICS = ("valid", "function", "exact", "equivalent")
RESAMPLES, SEED = 2000, 0  # of an interval; of resampling, and of the choice of items and shots


def interval(hits: int, items: int, resamples: int = RESAMPLES, seed: int = SEED) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of a fraction (Efron 1979), from `resamples` draws.

    A resample of n yes-or-no items with replacement has Binomial(n, hits / n) hits, so the counts are drawn
    directly, from the same distribution. Items with the same grade would give an interval of no width; theirs
    is the exact binomial interval (Clopper and Pearson 1934)."""
    import numpy as np

    if items == 0:
        return (0.0, 1.0)
    if hits in (0, items):
        beyond = 1 - 0.025 ** (1 / items)
        return (0.0, beyond) if hits == 0 else (1 - beyond, 1.0)
    counts = np.random.default_rng(seed).binomial(items, hits / items, resamples)
    low, high = np.percentile(counts / items, [2.5, 97.5])
    return (float(low), float(high))


def summarize(grades: Sequence[Grade], parts: Sequence[str | None]) -> dict[str, Any]:
    """Fractions over all items and by part, for report.json; None for a metric that the task lacks."""
    summary = _fractions(grades)
    names = sorted({part for part in parts if part is not None})
    summary["parts"] = {
        name: _fractions([g for g, part in zip(grades, parts, strict=True) if part == name]) for name in names
    }
    return summary


def _fractions(grades: Sequence[Grade]) -> dict[str, Any]:
    result: dict[str, Any] = {"items": len(grades)}
    for metric in METRICS:
        values = [getattr(g, metric) for g in grades]
        known = bool(values) and None not in values
        hits = sum(values) if known else 0
        result[metric] = hits / len(values) if known else None
        result[f"{metric}_interval"] = list(interval(hits, len(values))) if known else None
    return result


def confusion(pairs: Iterable[tuple[str, str]], second: str) -> list[dict[str, Any]]:
    """Counts the pairs of an expected name and another, most frequent first. second: the other's key."""
    ordered = sorted(Counter(pairs).items(), key=lambda pair: (-pair[1], pair[0]))
    return [{"expected": expected, second: other, "count": count} for (expected, other), count in ordered]
