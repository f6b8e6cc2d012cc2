"""Whether keys determine values, compared with chance."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterable, Sequence
from itertools import pairwise

TOLERATED = (
    0.25  # differences between equal keys, as a share of those by chance, up to which keys determine values
)
EVIDENT = 5  # differences by chance, from which a comparison says something
CERTAIN = 3  # standard deviations below chance, from which a class depends on numbers
VARIES = 0.5  # share of those by chance, from which keys do not determine values


def changes_by_chance(values: Collection[Hashable], count: int) -> float:
    """Expected differing pairs among `count` random pairs of these values."""
    return count * (1 - sum((one / len(values)) ** 2 for one in Counter(values).values()))


def differing(pairs: Iterable[tuple[Hashable, Hashable]]) -> tuple[float, int]:
    """The pairs (key, value) whose value is not the most frequent one of their key: expected by chance, and in
    fact. A key's first pair does not count."""
    values: dict[Hashable, list[Hashable]] = defaultdict(list)
    for key, value in pairs:
        values[key].append(value)
    every = [value for own in values.values() for value in own]
    by_chance = changes_by_chance(every, len(every) - len(values)) if every else 0.0
    return by_chance, sum(len(own) - max(Counter(own).values()) for own in values.values())


def determine(pairs: Iterable[tuple[Hashable, Hashable]]) -> bool:
    """Whether keys determine values, but for a few mistakes."""
    by_chance, found = differing(pairs)
    return by_chance >= EVIDENT and found <= TOLERATED * by_chance


def vary(pairs: Iterable[tuple[Hashable, str]]) -> bool:
    """Whether equal keys have different values about as often as by chance."""
    by_chance, found = differing(pairs)
    return by_chance >= EVIDENT and found >= VARIES * by_chance


def in_runs(pairs: Sequence[tuple[float, Hashable]]) -> bool:
    """Whether classes hardly change in the numbers' order."""
    changes, by_chance, _ = _changes(pairs)
    return by_chance >= EVIDENT and changes <= TOLERATED * by_chance


def depends(pairs: Sequence[tuple[float, Hashable]]) -> bool:
    """Whether classes change less often in the numbers' order than they would by chance: the runs test of Wald
    and Wolfowitz, with Mood's moments for several classes (The distribution theory of runs, 1940)."""
    changes, by_chance, deviation = _changes(pairs)
    return by_chance >= EVIDENT and changes < by_chance - CERTAIN * deviation


def _changes(pairs: Sequence[tuple[float, Hashable]]) -> tuple[int, float, float]:
    """Changes of the class from one number to the next: in fact, by chance, and their standard deviation."""
    in_order = [value for _, value in sorted(pairs, key=lambda pair: pair[0])]
    n, counts = len(in_order), Counter(in_order).values()
    if n < 2:
        return 0, 0.0, 0.0
    squares, cubes = sum(one**2 for one in counts), sum(one**3 for one in counts)
    variance = (squares * (squares + n * (n + 1)) - 2 * n * cubes - n**3) / (n**2 * (n - 1))
    return sum(a != b for a, b in pairwise(in_order)), n - squares / n, math.sqrt(max(variance, 0.0))
