"""Orders: of an output's numbers among each other, and numbers whose order determines a class."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

from tinsmith.data.chance import EVIDENT, TOLERATED, changes_by_chance, determine
from tinsmith.data.classes import PRESENCE
from tinsmith.data.leaves import ITEM, Leaf, Path, lists_in, shared_lists
from tinsmith.data.slots import ENOUGH, FEW, Argument, argument

LONG = 16  # characters from which digits are no number
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_MOMENT = re.compile(r"(?:(\d{4})-(\d\d)-(\d\d))?[T ]?(?:(\d\d?):(\d\d)(?::(\d\d))?)?")
ORDERED = 0.5  # changes of a class in the numbers' order, as a share of those by chance, below which it depends


def amount(value: Any) -> float | None:
    """The number to order a value by: a number, also in a text, a date (2026-12-01) or a time (7:30)."""
    if not isinstance(value, str):
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if len(value) < LONG and _NUMBER.fullmatch(value):
        return float(value)
    parts = _MOMENT.fullmatch(value)
    if parts is None or not value:
        return None
    return float("".join(f"{int(part or 0):02}" for part in parts.groups()))


def amount_of(leaf: Leaf) -> float:
    found = amount(leaf.value)
    assert found is not None
    return found


def same_order(old: tuple[float, float], new: tuple[float, float]) -> bool:
    return (old[0] < old[1], old[0] > old[1]) == (new[0] < new[1], new[0] > new[1])


def pairs_of(own: Sequence[Leaf]) -> Iterator[tuple[Leaf, Leaf]]:
    """Pairs of leaves of different arguments beside each other, but not of elements of two lists."""
    of: dict[Argument, list[Leaf]] = defaultdict(list)
    for leaf in own:
        of[argument(leaf)].append(leaf)
    for one, other in combinations(sorted(of), 2):
        if one[1] != other[1]:  # a text beside a number
            continue
        shared = shared_lists(one[0], other[0])
        if min(path.count(ITEM) for path, _ in (one, other)) > shared:
            continue
        by_place: dict[tuple[int, ...], list[Leaf]] = defaultdict(list)
        for leaf in of[other]:
            by_place[leaf.place[:shared]].append(leaf)
        for first in of[one]:
            for second in by_place.get(first.place[:shared], ()):
                yield first, second


def lists_of(own: Sequence[Leaf]) -> list[list[Leaf]]:
    """The leaves of an argument in each list with several of them."""
    lists: dict[tuple[Argument, tuple[int, ...]], list[Leaf]] = defaultdict(list)
    for leaf in own:
        if leaf.place:
            lists[argument(leaf), leaf.place[:-1]].append(leaf)
    return [several for several in lists.values() if len(several) > 1]


def sorted_lists(rows: Sequence[Sequence[Leaf]]) -> set[Argument]:
    """The arguments whose numbers always rise or always fall in a list, beyond chance."""
    seen: dict[Argument, list[tuple[float, float]]] = defaultdict(list)
    for own in rows:
        for several in lists_of(own):
            seen[argument(several[0])] += pairwise(map(amount_of, several))
    return {name for name, pairs in seen.items() if _rises(pairs) or _rises([pair[::-1] for pair in pairs])}


def chosen_lists(outputs: Sequence[Sequence[Leaf]]) -> set[Path]:
    """The lists with an element that every output repeats elsewhere, such as a winner."""
    named: dict[tuple[Argument, Argument], Counter[bool]] = defaultdict(Counter)
    for own in outputs:
        outer = [leaf for leaf in own if not leaf.place and leaf.value is not None]
        for several in lists_of(own):
            values = {leaf.value for leaf in several}
            if len(values) == len(several):
                for leaf in outer:
                    named[argument(several[0]), argument(leaf)][leaf.value in values] += 1
    return {
        lists_in(path)[-1]
        for ((path, _), _), count in named.items()
        if count[True] >= ENOUGH and not count[False]
    }


def below(rows: Sequence[Sequence[Leaf]]) -> set[tuple[Argument, Argument]]:
    """Pairs of arguments whose first number is never above the second beside it, beyond chance."""
    seen: dict[tuple[Argument, Argument], list[tuple[float, float]]] = defaultdict(list)
    for own in rows:
        for pair in pairs_of(own):
            for one, other in (pair, pair[::-1]):
                seen[argument(one), argument(other)].append((amount_of(one), amount_of(other)))
    return {name for name, pairs in seen.items() if _rises(pairs)}


def _rises(pairs: Sequence[tuple[float, float]]) -> bool:
    """Whether no first number is above its second one, although several would be by chance."""
    return all(first <= second for first, second in pairs) and _above_by_chance(pairs) >= EVIDENT


def _above_by_chance(pairs: Sequence[tuple[float, float]]) -> float:
    """Expected pairs with the first number above the second, if both were drawn independently."""
    firsts = sorted(first for first, _ in pairs)
    above = sum(len(firsts) - bisect_right(firsts, second) for _, second in pairs)
    return above / len(pairs)


def _changes(pairs: Sequence[tuple[Any, str]]) -> tuple[int, float]:
    """Changes of a class in the numbers' order: in fact, and expected by chance."""
    in_order = sorted(pairs, key=lambda pair: pair[0])
    by_chance = changes_by_chance([value for _, value in pairs], len(pairs) - 1)
    return sum(a[1] != b[1] for a, b in pairwise(in_order)), by_chance


def decide(pairs: Sequence[tuple[Any, str]]) -> bool:
    """Whether a class hardly changes in the numbers' order."""
    changes, by_chance = _changes(pairs)
    return by_chance >= EVIDENT and changes <= TOLERATED * by_chance


# A number, a class, and the values beside the number by argument.
Sighting = tuple[int | float, str, Mapping[Argument, str]]


@dataclass(frozen=True)
class Order:
    """How numbers determine a class by their order. classes: of each number, by value of the argument
    `company`, each of which may have its own limit; by None if one order holds for all."""

    classes: dict[str | None, dict[int | float, set[str]]]
    company: Argument | None = None

    @classmethod
    def of(cls, seen: Sequence[Sighting], path: Path) -> Order | None:
        """None if the class changes in the numbers' order about as often as by chance."""
        pairs = [(number, value) for number, value, _ in seen]
        more, _ = beyond([pairs])
        for company in sorted({one for _, _, beside in seen for one in beside if one[0] != path}):
            groups = {} if _is_compared(seen, company) else _by_company(seen, company)
            if 1 < len(groups) <= max(ENOUGH, FEW * len(seen)):
                found, by_chance = beyond(list(groups.values()))
                if by_chance >= EVIDENT and found <= TOLERATED * min(by_chance, more):
                    return cls({name: _by_number(group) for name, group in groups.items()}, company)
        if path[-1] == PRESENCE:
            decides = decide(pairs)
        else:
            changes, by_chance = _changes(pairs)
            decides = len(pairs) >= ENOUGH and changes < ORDERED * by_chance
        return cls({None: _by_number(pairs)}) if decides else None


def _is_compared(seen: Sequence[Sighting], company: Argument) -> bool:
    """Whether only the order of the number and the value beside it matters."""
    others = ((number, value, amount(beside.get(company, ""))) for number, value, beside in seen)
    return determine(((a > b) - (a < b), value) for a, value, b in others if b is not None)


def _by_company(seen: Sequence[Sighting], company: Argument) -> dict[str | None, list[tuple[int | float, str]]]:
    groups: dict[str | None, list[tuple[int | float, str]]] = defaultdict(list)
    for number, value, beside in seen:
        groups[beside.get(company, "")].append((number, value))
    return groups


def beyond(groups: Collection[Sequence[tuple[Any, str]]]) -> tuple[int, float]:
    """Changes of a class in the numbers' order of each group, beyond one per further class: in fact, and
    expected by chance."""
    found, by_chance = 0, 0.0
    for pairs in groups:
        values = [value for _, value in pairs]
        needed = len(set(values)) - 1
        found += _changes(pairs)[0] - needed
        by_chance += changes_by_chance(values, len(values)) - needed
    return found, by_chance


def _by_number(pairs: Sequence[tuple[int | float, str]]) -> dict[int | float, set[str]]:
    classes: dict[int | float, set[str]] = defaultdict(set)
    for number, value in pairs:
        classes[number].add(value)
    return classes
