"""Ties: what other values of an output hang on the values that it copies, as the training data shows it.

A made example may not contradict them: where a city tells its country, no new city stands beside the old
country; where numbers tell "high" from "low", a number stays on its side.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from operator import add, mul, sub
from typing import Any

from tinsmith.data.chance import EVIDENT, TOLD, changes_by_chance, tell, vary
from tinsmith.data.leaves import ITEM, Leaf, beside, shared_lists
from tinsmith.data.readers import Example
from tinsmith.data.slots import ENOUGH, Argument, Slot, Slots, argument, key, words

LONG = 16  # digits, from which they are no number that may decide
LETTERS = 4  # at a text's beginning or end, up to which they may tell a class
ORDERED = 0.5  # of the changes of a class that chance has among numbers in order: below that these tell it
FIRST, LAST = "first", "last"

Path = tuple[str, ...]
# Where an argument is missing or not is a class too, and which function is called.
PRESENCE, CALLED = "?", ("",)


@dataclass(frozen=True)
class Class:
    """A value that does not copy, as JSON; place: the indices in the lists that lead to it."""

    path: Path
    value: str
    place: tuple[int, ...] = ()


class Ties:
    """classes: by example; told: by an argument of texts and a class's path, which these tell, the word of them
    that does, None where only the whole text does; ordered: by an argument of numbers and a class's path, the
    classes that each number was seen with; untold: paths of classes that differ where all but the copied values
    is the same, though none of these tells them alone; telling: by an argument and a class's path, the numbers
    that tell it each by itself, in no order, or with others; compared: pairs of arguments of numbers, of which
    one is never above the other, or whose order tells a class."""

    def __init__(
        self,
        train: Sequence[Example],
        slots: Slots,
        values: Callable[..., list[Leaf]],
        labels: Sequence[str | None],
        carriers: Sequence[frozenset[str]],
    ) -> None:
        self.slots = slots
        outputs = [values(example.output, literals=True) for example in train]
        optional = self._optional(outputs, labels)
        self.classes = [
            frozenset(self._classes(own, label, optional)) for own, label in zip(outputs, labels, strict=True)
        ]
        self._several = [sum(argument(leaf) in slots.copied for leaf in own) > 1 for own in outputs]
        texts: dict[tuple[Argument, Path], list[tuple[str, str]]] = defaultdict(list)
        numbers: dict[tuple[Argument, Path], list[tuple[int | float, str]]] = defaultdict(list)
        alike: dict[Path, list[tuple[Hashable, str]]] = defaultdict(list)
        for i, own in enumerate(slots.of):
            keys = tuple(sorted(key(leaf.path) for slot in own for leaf in slot.leaves))
            for slot in own:
                for leaf in slot.leaves[:1] if isinstance(slot.value, str) else slot.leaves:
                    for path, value in self.of_leaf(i, leaf):
                        if isinstance(slot.value, str):
                            texts[argument(leaf), path].append((slot.value.casefold(), value))
                        else:
                            numbers[argument(leaf), path].append((slot.value, value))
            for one in self.classes[i] if own else ():
                alike[one.path].append(((carriers[i], keys), one.value))
        self.told = {name: kept[0] for name, pairs in texts.items() if (kept := _telling(pairs))}
        self.ordered = {
            name: seen for name, pairs in numbers.items() if (seen := _in_order(pairs, name[1])) is not None
        }
        self.telling = {name for name, pairs in numbers.items() if name not in self.ordered and tell(pairs)}
        self._numbers = [
            [leaf for leaf in own if argument(leaf) in slots.copied and _is_number(leaf.value)]
            for own in outputs
        ]
        self.compared = _below(self._numbers)
        self._learn_pairs()
        told = {path for _, path in (*self.told, *self.ordered)}
        self.untold = {path for path, pairs in alike.items() if path not in told and vary(pairs)}

    def _learn_pairs(self) -> None:
        """Which classes hang on two numbers: on which is greater, or on their sum, difference or product."""
        seen: dict[tuple[Argument, Argument, Path], list[tuple[Any, Any, str]]] = defaultdict(list)
        for i, own in enumerate(self._numbers):
            classes = {leaf: frozenset(self.of_leaf(i, leaf)) for leaf in own}
            for first, second in _pairs(own):
                for path, value in classes[first] & classes[second]:
                    seen[argument(first), argument(second), path].append((first.value, second.value, value))
        for (one, other, path), rows in seen.items():
            if any(_decide([(row[place], row[2]) for row in rows]) for place in (0, 1)):
                continue  # one of them decides it alone
            if tell((a < b, value) for a, b, value in rows):
                self.compared.add((one, other))
            elif any(_decide([(do(a, b), value) for a, b, value in rows]) for do in (add, sub, mul)):
                self.telling |= {(one, path), (other, path)}

    def of_leaf(self, i: int, leaf: Leaf) -> list[tuple[Path, str]]:
        """The example's classes that may hang on a value: not those of other elements of its list."""
        return sorted((one.path, one.value) for one in self.classes[i] if beside(leaf, one))

    def of_slot(self, i: int, slot: Slot) -> frozenset[tuple[Path, str]]:
        return frozenset(one for leaf in slot.leaves for one in self.of_leaf(i, leaf))

    def by_texts(self, own: Argument, classes: Iterable[tuple[Path, str]]) -> list[str | None]:
        """Of the classes that the texts of an argument tell, the words that do, as in `told`, and None for
        what is untold."""
        names = [(own, path) for path, _ in classes]
        return [self.told.get(name) for name in names if name in self.told or name[1] in self.untold]

    def stays(self, i: int, slot: Slot) -> bool:
        """Whether a class hangs on the slot's very number, or may hang on its value and other copied ones."""
        names = [(argument(leaf), path) for leaf in slot.leaves for path, _ in self.of_leaf(i, leaf)]
        if any(name in self.telling for name in names):
            return True
        return self._several[i] and any(path in self.untold for _, path in names)

    def keep_order(self, i: int, filled: Mapping[Leaf, Any]) -> bool:
        """Whether the example's numbers, some of them filled in anew, stand in the order that they need."""
        return all(
            _order(one.value, other.value) == _order(filled.get(one, one.value), filled.get(other, other.value))
            for one, other in _pairs(self._numbers[i] if self.compared else ())
            if not self.compared.isdisjoint(
                ((argument(one), argument(other)), (argument(other), argument(one)))
            )
        )

    def _is_class(self, leaf: Leaf) -> bool:
        """Also true, false, null and a text of no word, of an argument that copies."""
        if leaf.value is None or isinstance(leaf.value, bool):
            return True
        if isinstance(leaf.value, str) and not words(leaf.value):
            return True
        return argument(leaf) not in self.slots.copied and self.slots.seen[argument(leaf)].recurs

    @staticmethod
    def _optional(outputs: Sequence[list[Leaf]], labels: Sequence[str | None]) -> dict[str | None, set[Path]]:
        """By label, as of a function: the paths that are in some of its outputs, or in some of the elements of
        a list in them; a list's, where some are empty."""
        counts: dict[str | None, Counter[Path]] = defaultdict(Counter)
        total: dict[str | None, Counter[Path]] = defaultdict(Counter)
        for own, label in zip(outputs, labels, strict=True):
            counts[label].update(path for path, _ in _there(own))
            total[label].update(holder for holder, _ in _holders(own))
        return {
            label: {path for path, count in paths.items() if count < total[label][_holder(path)]}
            for label, paths in counts.items()
        }

    def _classes(
        self, own: list[Leaf], label: str | None, optional: dict[str | None, set[Path]]
    ) -> Iterable[Class]:
        lists: dict[tuple[Path, tuple[int, ...]], list[Any]] = defaultdict(list)
        for leaf in own:
            if self._is_class(leaf) and leaf.path[-1:] == (ITEM,):
                lists[leaf.path, leaf.place[:-1]].append(leaf.value)
            elif self._is_class(leaf):
                yield Class(leaf.path, json.dumps(leaf.value), leaf.place)
        for (path, place), several in lists.items():
            yield Class(path, json.dumps(several), place)
        there, holders = _there(own), _holders(own)
        for path in optional.get(label, ()):
            for holder, place in holders:
                if holder == _holder(path):
                    yield Class((*path, PRESENCE), json.dumps((path, place) in there), place)
        if label is not None:
            yield Class(CALLED, label)


def _holder(path: Path) -> Path:
    """Of the list's element that a path is in; empty for the output itself."""
    inner = [end for end in range(len(path)) if path[end - 1 : end] == (ITEM,)]
    return path[: inner[-1]] if inner else ()


def _there(own: Sequence[Leaf]) -> set[tuple[Path, tuple[int, ...]]]:
    """The paths of an output's leaves, and of lists that have elements; with the place of what holds each."""
    ends = [(leaf, end) for leaf in own for end in range(1, len(leaf.path) + 1)]
    paths = [
        (leaf.path[:end], leaf.place)
        for leaf, end in ends
        if end == len(leaf.path) or leaf.path[end - 1] == ITEM
    ]
    return {(path, place[: _holder(path).count(ITEM)]) for path, place in paths}


def _holders(own: Sequence[Leaf]) -> set[tuple[Path, tuple[int, ...]]]:
    """The output itself, and the elements of its lists."""
    elements = [
        (leaf.path[:end], leaf.place)
        for leaf in own
        for end in range(1, len(leaf.path))
        if leaf.path[end - 1] == ITEM
    ]
    return {((), ())} | {(path, place[: path.count(ITEM)]) for path, place in elements}


def is_value(path: Path) -> bool:
    """Whether a class is a value that was seen, and not whether there is one, or what is called."""
    return path[-1] != PRESENCE and path != CALLED


def _telling(pairs: Sequence[tuple[str, str]]) -> list[str | None]:
    """The words that tell a class, if any does, or None in their place where the whole text does."""
    distinct = set(pairs)
    ends = {LAST: -1, FIRST: 0}
    found: list[str | None] = [
        name for name, place in ends.items() if tell((text.split()[place], value) for text, value in distinct)
    ]
    return found or ([None] if tell(pairs) or _tells_in_part(distinct) else [])


def _tells_in_part(pairs: Collection[tuple[str, str]]) -> bool:
    """Whether a part of a text tells a class: one of its words or numbers, or of its first or last letters."""
    parts = [re.findall(r"\d+|[^\W\d_]+", text) for text, _ in pairs]
    keys = [
        [own[place] if -len(own) <= place < len(own) else "" for own in parts] for place in (0, 1, 2, -1, -2)
    ]
    for count in range(1, LETTERS + 1):
        keys += [[text[:count] for text, _ in pairs], [text[-count:] for text, _ in pairs]]
    values = [value for _, value in pairs]
    first = [next((part for part in own if part.isdecimal()), None) for own in parts]
    numbers = [(int(one), value) for one, value in zip(first, values, strict=True) if one and len(one) < LONG]
    return any(tell(zip(one, values, strict=True)) for one in keys) or _decide(numbers)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _order(one: Any, other: Any) -> tuple[bool, bool]:
    return one < other, one > other


def _pairs(own: Sequence[Leaf]) -> Iterator[tuple[Leaf, Leaf]]:
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


def _below(rows: Sequence[Sequence[Leaf]]) -> set[tuple[Argument, Argument]]:
    """Pairs of arguments of which the first is never above the second beside it, where chance would have put it
    there several times."""
    seen: dict[tuple[Argument, Argument], list[tuple[float, float]]] = defaultdict(list)
    for own in rows:
        for pair in _pairs(own):
            for one, other in (pair, pair[::-1]):
                seen[argument(one), argument(other)].append((one.value, other.value))
    return {
        name
        for name, pairs in seen.items()
        if all(first <= second for first, second in pairs) and _above_by_chance(pairs) >= EVIDENT
    }


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


def _decide(pairs: Sequence[tuple[Any, str]]) -> bool:
    """Whether it hardly changes."""
    changes, by_chance = _changes(pairs)
    return by_chance >= EVIDENT and changes <= TOLD * by_chance


def _in_order(pairs: Sequence[tuple[int | float, str]], path: Path) -> dict[int | float, set[str]] | None:
    """The classes that each number was seen with, where numbers decide them: in their order such a class
    changes far less often than by chance."""
    if path[-1] == PRESENCE:  # a class that few mean, so that chance has many to choose from
        decides = _decide(pairs)
    else:
        changes, by_chance = _changes(pairs)
        decides = len(pairs) >= ENOUGH and changes < ORDERED * by_chance
    if not decides:
        return None
    seen: dict[int | float, set[str]] = defaultdict(set)
    for number, value in pairs:
        seen[number].add(value)
    return seen
