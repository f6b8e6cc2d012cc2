"""Ties: what other values of an output hang on the values that it copies, as the training data shows it.

A made example may not contradict them: where a city tells its country, no new city stands beside the old
country; where numbers tell "high" from "low", a number stays on its side.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from itertools import chain, pairwise
from operator import add, mul, sub
from typing import Any

from tinsmith.data.chance import tell, vary
from tinsmith.data.classes import Path, classes_of
from tinsmith.data.leaves import Leaf, beside
from tinsmith.data.orders import (
    Order,
    Sighting,
    below,
    chosen_lists,
    decide,
    is_number,
    lists_in,
    lists_of,
    pairs_of,
    same_order,
    sorted_lists,
)
from tinsmith.data.readers import Example
from tinsmith.data.slots import Argument, Slot, Slots, argument, key

LONG = 16  # digits, from which they are no number that may decide
LETTERS = 4  # at a text's beginning or end, up to which they may tell a class
FIRST, LAST = "first", "last"

Name = tuple[Argument, Path]  # an argument, and the path of a class that may hang on its values


class Ties:
    """classes: by example; told: by an argument of texts and a class's path, which these tell, the word of them
    that does, None where only the whole text does; ordered: by an argument of numbers and a class's path, how
    the numbers' order decides it; untold: paths of classes that differ where all but the copied values is the
    same, though none of these tells them alone; telling: by an argument and a class's path, the values that
    tell it each by itself, in no order, or with others; compared: pairs of arguments of numbers, of which one
    is never above the other, or whose order tells a class; ranked: arguments of numbers that keep their order
    in a list."""

    def __init__(
        self,
        train: Sequence[Example],
        slots: Slots,
        values: Callable[..., list[Leaf]],
        labels: Sequence[str | None],
        carriers: Sequence[frozenset[str]],
    ) -> None:
        self.slots = slots
        self._outputs = outputs = [values(example.output, literals=True) for example in train]
        self.classes = classes_of(outputs, labels, slots)
        self._several = [sum(argument(leaf) in slots.copied for leaf in own) > 1 for own in outputs]
        texts: dict[Name, list[tuple[str, str]]] = defaultdict(list)
        numbers: dict[Name, list[Sighting]] = defaultdict(list)
        alike: dict[Path, list[tuple[Hashable, str]]] = defaultdict(list)
        for i, own in enumerate(slots.of):
            keys = tuple(sorted(key(leaf.path) for slot in own for leaf in slot.leaves))
            for slot in own:
                for leaf in slot.leaves[:1] if isinstance(slot.value, str) else slot.leaves:
                    company = self._company(i, leaf)
                    for path, value in self.of_leaf(i, leaf):
                        if isinstance(slot.value, str):
                            texts[argument(leaf), path].append((slot.value.casefold(), value))
                        else:
                            numbers[argument(leaf), path].append((slot.value, value, company))
            for one in self.classes[i] if own else ():
                alike[one.path].append(((carriers[i], keys), one.value))
        self.told = {name: kept[0] for name, pairs in texts.items() if (kept := _telling(pairs))}
        self.ordered = {
            name: found for name, seen in numbers.items() if (found := Order.of(seen, name[1])) is not None
        }
        self.telling = {
            name
            for name, seen in numbers.items()
            if name not in self.ordered and tell((number, value) for number, value, _ in seen)
        }
        self.telling |= {
            (order.company, path) for (_, path), order in self.ordered.items() if order.company is not None
        }
        self._numbers = [
            [leaf for leaf in own if argument(leaf) in slots.copied and is_number(leaf.value)]
            for own in outputs
        ]
        self.compared = below(self._numbers)
        self._learn_pairs()
        chosen = chosen_lists(outputs)
        self.ranked = sorted_lists(self._numbers) | {
            one
            for one in {argument(leaf) for own in self._numbers for leaf in own}
            if not chosen.isdisjoint(lists_in(one[0]))
        }
        told = {path for _, path in (*self.told, *self.ordered)}
        self.untold = {path for path, pairs in alike.items() if path not in told and vary(pairs)}

    def _learn_pairs(self) -> None:
        """Which classes hang on two numbers: on which is greater, or on their sum, difference or product."""
        seen: dict[tuple[Argument, Argument, Path], list[tuple[Any, Any, str]]] = defaultdict(list)
        for i, own in enumerate(self._numbers):
            classes = {leaf: frozenset(self.of_leaf(i, leaf)) for leaf in own}
            for first, second in pairs_of(own):
                for path, value in classes[first] & classes[second]:
                    seen[argument(first), argument(second), path].append((first.value, second.value, value))
        for (one, other, path), rows in seen.items():
            if any(decide([(row[place], row[2]) for row in rows]) for place in (0, 1)):
                continue  # one of them decides it alone
            if tell((a < b, value) for a, b, value in rows):
                self.compared.add((one, other))
            elif any(decide([(do(a, b), value) for a, b, value in rows]) for do in (add, sub, mul)):
                self.telling |= {(one, path), (other, path)}

    def _company(self, i: int, leaf: Leaf) -> dict[Argument, str]:
        """The texts beside a number, and what is true or false."""
        return {
            argument(one): str(one.value).casefold()
            for one in self._outputs[i]
            if isinstance(one.value, str | bool) and beside(leaf, one)
        }

    def deciding(self, i: int, slot: Slot) -> frozenset[tuple[Name, str, str | None]]:
        """The classes that the order of a slot's numbers decides: the order's name in `ordered`, the class, and
        the company that it is decided in."""
        return frozenset(
            (name, value, self._company(i, leaf).get(company, "") if company else None)
            for leaf in slot.leaves
            for path, value in self.of_leaf(i, leaf)
            if (name := (argument(leaf), path)) in self.ordered
            for company in [self.ordered[name].company]
        )

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
        own = self._numbers[i]
        beside_each_other = (
            pair
            for pair in pairs_of(own if self.compared else ())
            for one, other in [map(argument, pair)]
            if not self.compared.isdisjoint(((one, other), (other, one)))
        )
        in_lists = (
            pair
            for several in lists_of(own if self.ranked else ())
            if argument(several[0]) in self.ranked
            for pair in pairwise(sorted(several, key=lambda leaf: leaf.value))
        )
        return all(
            same_order((one.value, other.value), (filled.get(one, one.value), filled.get(other, other.value)))
            for one, other in chain(beside_each_other, in_lists)
        )


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
    return any(tell(zip(one, values, strict=True)) for one in keys) or decide(numbers)
