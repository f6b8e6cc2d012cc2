"""Ties: classes of an output that depend on its copied values, learned from the training data.

An augmented example must not contradict them: if cities determine countries, a new city can't keep the old
country; if a number decides between "high" and "low", it stays on its side.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from itertools import chain, combinations, pairwise
from operator import add, mul, sub
from typing import Any

from tinsmith.data.chance import TOLERATED, determine, differ, differing, vary
from tinsmith.data.classes import classes_of
from tinsmith.data.features import deciders, features
from tinsmith.data.leaves import Leaf, Path, beside, lists_in
from tinsmith.data.orders import (
    LONG,
    Order,
    Sighting,
    amount,
    amount_of,
    below,
    beyond,
    chosen_lists,
    decide,
    lists_of,
    pairs_of,
    same_order,
    sorted_lists,
)
from tinsmith.data.readers import Example
from tinsmith.data.slots import Argument, Slot, Slots, argument, key

LETTERS = 4  # most letters at a text's beginning or end that may determine a class
FIRST, LAST = "first", "last"

Name = tuple[Argument, Path]  # an argument, and the path of a class that may depend on it


def _over(a: float, b: float) -> float:
    return a / b if b else 0.0


class Ties:
    """classes: by example.

    by_text: arguments of texts that determine a class: by which word, or None for the whole text.
    ordered: arguments of numbers that determine a class by their order.
    unexplained: paths of classes that vary although everything but the copied values is equal.
    decisive: arguments that determine a class by each single value, or together with others.
    compared: pairs of arguments of numbers with a fixed order, or whose order determines a class.
    ranked: arguments of numbers that keep their order in a list."""

    def __init__(
        self,
        train: Sequence[Example],
        slots: Slots,
        values: Callable[..., list[Leaf]],
        labels: Sequence[str | None],
        carriers: Sequence[frozenset[str]],
    ) -> None:
        self.slots = slots
        self._outputs = [values(example.output, literals=True) for example in train]
        self.classes = classes_of(self._outputs, labels, slots)
        self._several = [sum(argument(leaf) in slots.copied for leaf in own) > 1 for own in self._outputs]
        self._amounts = [
            [leaf for leaf in own if argument(leaf) in slots.copied and amount(leaf.value) is not None]
            for own in self._outputs
        ]
        self.decisive: set[Name] = set()
        self._learn_values()
        self.compared = below(self._amounts)
        chosen = chosen_lists(self._outputs)
        self.ranked = sorted_lists(self._amounts) | {
            one
            for one in {argument(leaf) for own in self._amounts for leaf in own}
            if not chosen.isdisjoint(lists_in(one[0]))
        }
        self._learn_several({path for _, path in (*self.by_text, *self.ordered, *self.decisive)})
        explained = self._learn_pairs() | {path for _, path in (*self.by_text, *self.ordered, *self.decisive)}
        alike: dict[Path, list[tuple[Hashable, str]]] = defaultdict(list)
        for own, classes, carrier in zip(slots.of, self.classes, carriers, strict=True):
            keys = tuple(sorted(key(leaf.path) for slot in own for leaf in slot.leaves))
            for one in classes if own else ():
                alike[one.path].append(((carrier, keys), one.value))
        self.unexplained = {path for path, pairs in alike.items() if path not in explained and vary(pairs)}

    def _learn_values(self) -> None:
        """Finds classes that depend on one value, by itself or in the company of another one."""
        texts: dict[Name, list[tuple[str, str]]] = defaultdict(list)
        numbers: dict[Name, list[Sighting]] = defaultdict(list)
        within: dict[Name, list[Sighting]] = defaultdict(list)  # the first number in texts
        for i, own in enumerate(self.slots.of):
            texts_once = (slot.leaves[:1] if isinstance(slot.value, str) else slot.leaves for slot in own)
            for leaf in chain.from_iterable(texts_once):
                company = self._company(i, leaf)
                for path, value in self.of_leaf(i, leaf):
                    name = argument(leaf), path
                    if not isinstance(leaf.value, str):
                        numbers[name].append((leaf.value, value, company))
                        continue
                    texts[name].append((leaf.value.casefold(), value))
                    if digits := re.search(r"\d+(?:\.\d+)?", leaf.value[:LONG]):
                        within[name].append((float(digits[0]), value, company))
        self.by_text = {name: kept[0] for name, pairs in texts.items() if (kept := _decisive_words(pairs))}
        self.ordered: dict[Name, Order] = {}
        for name, seen in numbers.items():
            if order := Order.of(seen, name[1]):
                self.ordered[name] = order
                self.decisive |= {(order.company, name[1])} if order.company else set()
            elif determine((number, value) for number, value, _ in seen):
                self.decisive.add(name)
        for name, seen in within.items():
            order = Order.of(seen, name[1])
            self.decisive |= {name, (order.company, name[1])} if order and order.company else set()

    def _learn_pairs(self) -> set[Path]:
        """Finds classes that depend on two numbers: on their order, sum, difference, product or quotient.
        Returns their paths."""
        found = set()
        seen: dict[tuple[Argument, Argument, Path], list[tuple[Any, Any, str]]] = defaultdict(list)
        for i, own in enumerate(self._amounts):
            classes = {leaf: frozenset(self.of_leaf(i, leaf)) for leaf in own}
            for first, second in pairs_of(own):
                two = amount_of(first), amount_of(second)
                for path, value in classes[first] & classes[second]:
                    seen[argument(first), argument(second), path].append((*two, value))
        for (one, other, path), rows in seen.items():
            apart = [[(row[place], row[2]) for row in rows] for place in (0, 1)]
            signs = [((a > b) - (a < b), value) for a, b, value in rows]
            alone = min(beyond([pairs])[0] for pairs in apart)
            is_alone = any(map(decide, apart))
            if determine(signs) and (not is_alone or differing(signs)[1] <= TOLERATED * alone >= 1):
                self.compared.add((one, other))
                found.add(path)
            elif not is_alone and any(
                decide([(do(a, b), value) for a, b, value in rows]) for do in (add, sub, mul, _over)
            ):
                self.decisive |= {(one, path), (other, path)}
                found.add(path)
        return found

    def _learn_several(self, known: set[Path]) -> None:
        """Finds other classes that depend on several values together."""
        rows: dict[Path, list[tuple[int, str]]] = defaultdict(list)
        for i, own in enumerate(self.classes):
            for one in own:
                if not one.place and one.path not in known:
                    rows[one.path].append((i, one.value))
        rows = {path: classes for path, classes in rows.items() if differ(value for _, value in classes)}
        pairs = zip(self._outputs, self._amounts, strict=True)
        found = [list(features(own, amounts, self.slots.copied)) for own, amounts in pairs] if rows else []
        for path, classes in rows.items():
            for several in deciders(classes, path, found):
                self.compared.update(combinations(several.compared, 2))
                self.decisive |= {(one, path) for one in several.stay}

    def _company(self, i: int, leaf: Leaf) -> dict[Argument, str]:
        """The values beside a leaf, without nulls."""
        return {
            argument(one): str(one.value).casefold()
            for one in self._outputs[i]
            if one is not leaf and one.value is not None and beside(leaf, one)
        }

    def deciding(self, i: int, slot: Slot) -> frozenset[tuple[Name, str, str | None]]:
        """The classes that the order of a slot's numbers determines: name in `ordered`, class, and company."""
        return frozenset(
            (name, value, self._company(i, leaf).get(company, "") if company else None)
            for leaf in slot.leaves
            for path, value in self.of_leaf(i, leaf)
            if (name := (argument(leaf), path)) in self.ordered
            for company in [self.ordered[name].company]
        )

    def of_leaf(self, i: int, leaf: Leaf) -> list[tuple[Path, str]]:
        """The example's classes that may depend on a leaf: not those of other elements of its list."""
        return sorted((one.path, one.value) for one in self.classes[i] if beside(leaf, one))

    def of_slot(self, i: int, slot: Slot) -> frozenset[tuple[Path, str]]:
        return frozenset(one for leaf in slot.leaves for one in self.of_leaf(i, leaf))

    def by_texts(self, own: Argument, classes: Iterable[tuple[Path, str]]) -> list[str | None]:
        """For each class that the argument's texts determine, the word as in `by_text`; None for unexplained
        ones."""
        names = [(own, path) for path, _ in classes]
        return [self.by_text.get(name) for name in names if name in self.by_text or name[1] in self.unexplained]

    def stays(self, i: int, slot: Slot) -> bool:
        """Whether a class depends on the slot's exact value, or may depend on it and other copied values."""
        names = [(argument(leaf), path) for leaf in slot.leaves for path, _ in self.of_leaf(i, leaf)]
        if any(name in self.decisive for name in names):
            return True
        return self._several[i] and any(path in self.unexplained for _, path in names)

    def keep_order(self, i: int, filled: Mapping[Leaf, Any]) -> bool:
        """Whether the example's numbers keep their order with the new ones in `filled`."""
        own = self._amounts[i]

        def after(leaf: Leaf) -> float:
            new = amount(filled.get(leaf, leaf.value))
            return amount_of(leaf) if new is None else new

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
            for pair in pairwise(sorted(several, key=amount_of))
        )
        return all(
            same_order((amount_of(one), amount_of(other)), (after(one), after(other)))
            for one, other in chain(beside_each_other, in_lists)
        )


def _decisive_words(pairs: Sequence[tuple[str, str]]) -> list[str | None]:
    """The words that determine a class; [None] if only the whole text does."""
    distinct = set(pairs)
    ends = {LAST: -1, FIRST: 0}
    found: list[str | None] = [
        name
        for name, place in ends.items()
        if determine((text.split()[place], value) for text, value in distinct)
    ]
    return found or ([None] if determine(pairs) or _is_decisive_in_part(distinct) else [])


def _is_decisive_in_part(pairs: Collection[tuple[str, str]]) -> bool:
    """Whether a part of a text determines a class: a word, a number, or its first or last letters."""
    parts = [re.findall(r"\d+|[^\W\d_]+", text) for text, _ in pairs]
    keys = [
        [own[place] if -len(own) <= place < len(own) else "" for own in parts] for place in (0, 1, 2, -1, -2)
    ]
    for count in range(1, LETTERS + 1):
        keys += [[text[:count] for text, _ in pairs], [text[-count:] for text, _ in pairs]]
    values = [value for _, value in pairs]
    first = [next((part for part in own if part.isdecimal()), None) for own in parts]
    numbers = [(int(one), value) for one, value in zip(first, values, strict=True) if one and len(one) < LONG]
    return any(determine(zip(one, values, strict=True)) for one in keys) or decide(numbers)
