"""Whether keys determine values, compared with chance."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterable

TOLERATED = (
    0.25  # differences between equal keys, as a share of those by chance, up to which keys determine values
)
EVIDENT = 5  # differences by chance, from which a comparison says something
VARIES = 0.5  # share of those by chance, from which keys do not determine values


def changes_by_chance(values: Collection[Hashable], count: int) -> float:
    """Expected differing pairs among `count` random pairs of these values."""
    return count * (1 - sum((one / len(values)) ** 2 for one in Counter(values).values()))


def differ(values: Iterable[Hashable]) -> bool:
    """Whether random pairs would differ several times."""
    own = list(values)
    return changes_by_chance(own, len(own)) >= EVIDENT


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
