"""Orders: how the numbers of an output stand to each other, and which of them tell a class by their order."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from typing import Any

from tinsmith.data.chance import EVIDENT, TOLD, changes_by_chance
from tinsmith.data.classes import PRESENCE, Path
from tinsmith.data.leaves import ITEM, Leaf, shared_lists
from tinsmith.data.slots import ENOUGH, Argument, argument

ORDERED = 0.5  # of the changes of a class that chance has among numbers in order: below that these tell it


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def same_order(old: tuple[Any, Any], new: tuple[Any, Any]) -> bool:
    return (old[0] < old[1], old[0] > old[1]) == (new[0] < new[1], new[0] > new[1])


def pairs_of(own: Sequence[Leaf]) -> Iterator[tuple[Leaf, Leaf]]:
    """Those of different arguments that are beside each other, but for elements of two lists."""
    of: dict[Argument, list[Leaf]] = defaultdict(list)
    for leaf in own:
        of[argument(leaf)].append(leaf)
    for one, other in combinations(sorted(of), 2):
        shared = shared_lists(one[0], other[0])
        if min(path.count(ITEM) for path, _ in (one, other)) > shared:
            continue
        held: dict[tuple[int, ...], list[Leaf]] = defaultdict(list)
        for leaf in of[other]:
            held[leaf.place[:shared]].append(leaf)
        for first in of[one]:
            for second in held.get(first.place[:shared], ()):
                yield first, second


def below(rows: Sequence[Sequence[Leaf]]) -> set[tuple[Argument, Argument]]:
    """Pairs of arguments of which the first is never above the second beside it, where chance would have put it
    there several times."""
    seen: dict[tuple[Argument, Argument], list[tuple[float, float]]] = defaultdict(list)
    for own in rows:
        for pair in pairs_of(own):
            for one, other in (pair, pair[::-1]):
                seen[argument(one), argument(other)].append((one.value, other.value))
    return {name for name, pairs in seen.items() if _rises(pairs)}


def _rises(pairs: Sequence[tuple[float, float]]) -> bool:
    """Whether no first number is above its second one, where chance would have put several there."""
    return all(first <= second for first, second in pairs) and _above_by_chance(pairs) >= EVIDENT


def _above_by_chance(pairs: Sequence[tuple[float, float]]) -> float:
    """Of the pairs, how many would have a first number above the second one, were they drawn apart."""
    firsts = sorted(first for first, _ in pairs)
    above = sum(len(firsts) - bisect_right(firsts, second) for _, second in pairs)
    return above / len(pairs)


def _changes(pairs: Sequence[tuple[Any, str]]) -> tuple[int, float]:
    """How often a class changes between numbers in their order, and would by chance."""
    in_order = sorted(pairs, key=lambda pair: pair[0])
    by_chance = changes_by_chance([value for _, value in pairs], len(pairs) - 1)
    return sum(a[1] != b[1] for a, b in pairwise(in_order)), by_chance


def decide(pairs: Sequence[tuple[Any, str]]) -> bool:
    """Whether a class hardly changes between numbers in their order."""
    changes, by_chance = _changes(pairs)
    return by_chance >= EVIDENT and changes <= TOLD * by_chance


def in_order(pairs: Sequence[tuple[int | float, str]], path: Path) -> dict[int | float, set[str]] | None:
    """The classes that each number was seen with, where numbers decide them: in their order such a class
    changes far less often than by chance."""
    if path[-1] == PRESENCE:  # a class that few mean, so that chance has many to choose from
        decides = decide(pairs)
    else:
        changes, by_chance = _changes(pairs)
        decides = len(pairs) >= ENOUGH and changes < ORDERED * by_chance
    if not decides:
        return None
    seen: dict[int | float, set[str]] = defaultdict(set)
    for number, value in pairs:
        seen[number].add(value)
    return seen
