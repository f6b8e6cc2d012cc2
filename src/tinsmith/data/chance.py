"""What chance would have given, beside which it is seen what follows from what."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterable

TOLD = (
    0.25  # of the changes that chance has between equal keys: up to that they tell a value, mistakes among them
)
EVIDENT = 5  # such changes by chance, from which their absence says something
VARIES = 0.5  # of them: from that equal keys do not tell it


def changes_by_chance(values: Collection[Hashable], count: int) -> float:
    """Of as many pairs of these values drawn at random, how many differ."""
    return count * (1 - sum((one / len(values)) ** 2 for one in Counter(values).values()))


def differ(values: Iterable[Hashable]) -> bool:
    """Whether they differ so much that chance would have given several changes."""
    own = list(values)
    return changes_by_chance(own, len(own)) >= EVIDENT


def differing(pairs: Iterable[tuple[Hashable, Hashable]]) -> tuple[float, int]:
    """Of pairs of a key and a value, by chance and in fact, how many have another value than the most frequent
    one of their key, though they are not its first."""
    values: dict[Hashable, list[Hashable]] = defaultdict(list)
    for key, value in pairs:
        values[key].append(value)
    every = [value for own in values.values() for value in own]
    by_chance = changes_by_chance(every, len(every) - len(values)) if every else 0.0
    return by_chance, sum(len(own) - max(Counter(own).values()) for own in values.values())


def tell(pairs: Iterable[tuple[Hashable, Hashable]]) -> bool:
    """Whether equal keys have equal values, all but a few, where chance would have given others."""
    by_chance, found = differing(pairs)
    return by_chance >= EVIDENT and found <= TOLD * by_chance


def vary(pairs: Iterable[tuple[Hashable, str]]) -> bool:
    """Whether equal keys have other values about as often as chance would have it."""
    by_chance, found = differing(pairs)
    return by_chance >= EVIDENT and found >= VARIES * by_chance
