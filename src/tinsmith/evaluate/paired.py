"""Two systems on the same items: the difference of their right answers, and its confidence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tinsmith.evaluate.metrics import RESAMPLES, SEED

LEVEL = 0.05  # a difference with a smaller p is significant


@dataclass(frozen=True)
class Paired:
    """A first system against a second one. first, second: items that only this one gets right; p: of McNemar's
    test; difference: of the shares of right answers; errors: the ratio of the first's wrong answers to the
    second's, None if the second has none. The intervals are of 95 %, None for an end without bound."""

    items: int
    first: int
    second: int
    p: float
    difference: float
    difference_interval: tuple[float, float]
    errors: float | None
    errors_interval: tuple[float | None, float | None]

    @property
    def is_better(self) -> bool:
        return self.first > self.second and self.p < LEVEL

    @property
    def is_worse(self) -> bool:
        return self.first < self.second and self.p < LEVEL


def mcnemar(first: int, second: int) -> float:
    """The exact two-sided p of McNemar's test ("Note on the sampling error of the difference between correlated
    proportions or percentages", Psychometrika 12, 1947): if neither is better, the split of the items that only
    one gets right is binomial."""
    count = first + second
    tail = sum(math.comb(count, k) for k in range(min(first, second) + 1))
    return min(1.0, float(2 * tail / 2**count))


def compare(
    first: Sequence[bool], second: Sequence[bool], resamples: int = RESAMPLES, seed: int = SEED
) -> Paired:
    """first, second: whether each item's answer is right. Intervals: a percentile bootstrap over items, which
    draws both answers of an item together."""
    import numpy as np

    pairs = list(zip(first, second, strict=True))
    only = [pairs.count(pair) for pair in ((True, False), (False, True), (False, False), (True, True))]
    items = len(pairs)
    if not items:
        return Paired(0, 0, 0, 1.0, 0.0, (-1.0, 1.0), None, (None, None))
    drawn = np.random.default_rng(seed).multinomial(items, [count / items for count in only], resamples)
    differences = (drawn[:, 0] - drawn[:, 1]) / items
    low, high = np.percentile(differences, [2.5, 97.5])
    mine, theirs = drawn[:, 1] + drawn[:, 2], drawn[:, 0] + drawn[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = mine / theirs
    known = np.sort(ratios[~np.isnan(ratios)])
    ends = [known[round(share * (len(known) - 1))] for share in (0.025, 0.975)] if len(known) else []
    bounds = [float(end) if np.isfinite(end) else None for end in ends] or [None, None]
    wrong = only[0] + only[2]
    return Paired(
        items,
        only[0],
        only[1],
        mcnemar(only[0], only[1]),
        (only[0] - only[1]) / items,
        (float(low), float(high)),
        (only[1] + only[2]) / wrong if wrong else None,
        (bounds[0], bounds[1]),
    )
