"""Ties: what other values of an output hang on the values that it copies, as the training data shows it.

A made example may not contradict them: where a city tells its country, no new city stands beside the old
country; where numbers tell "high" from "low", a number stays on its side.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tinsmith.data.chance import EVIDENT, TOLD, changes_by_chance, tell, vary
from tinsmith.data.leaves import ITEM, Leaf, beside
from tinsmith.data.readers import Example
from tinsmith.data.slots import ENOUGH, Argument, Slot, Slots, argument, key, words

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
    is the same, though none of these tells them alone."""

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
        told = {path for _, path in (*self.told, *self.ordered)}
        self.untold = {path for path, pairs in alike.items() if path not in told and vary(pairs)}

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

    def is_untold(self, i: int, slot: Slot) -> bool:
        """Whether a class may hang on the slot's value together with other copied ones."""
        return self._several[i] and any(path in self.untold for path, _ in self.of_slot(i, slot))

    def _is_class(self, leaf: Leaf) -> bool:
        """Also true, false, null and a text of no word, of an argument that copies."""
        if leaf.value is None or isinstance(leaf.value, bool):
            return True
        if isinstance(leaf.value, str) and not words(leaf.value):
            return True
        return argument(leaf) not in self.slots.copied and self.slots.seen[argument(leaf)].recurs

    @staticmethod
    def _optional(outputs: Sequence[list[Leaf]], labels: Sequence[str | None]) -> dict[str | None, set[Path]]:
        """By label, as of a function: the paths that are in some of its outputs."""
        counts: dict[str | None, Counter[Path]] = defaultdict(Counter)
        for own, label in zip(outputs, labels, strict=True):
            counts[label].update({leaf.path for leaf in own if ITEM not in leaf.path})
        total = Counter(labels)
        return {
            label: {path for path, count in paths.items() if count < total[label]}
            for label, paths in counts.items()
        }

    def _classes(
        self, own: list[Leaf], label: str | None, optional: dict[str | None, set[Path]]
    ) -> Iterable[Class]:
        for leaf in own:
            if self._is_class(leaf):
                yield Class(leaf.path, json.dumps(leaf.value), leaf.place)
        there = {leaf.path for leaf in own}
        for path in optional.get(label, ()):
            yield Class((*path, PRESENCE), json.dumps(path in there))
        if label is not None:
            yield Class(CALLED, label)


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
    return found or ([None] if tell(pairs) else [])


def _in_order(pairs: Sequence[tuple[int | float, str]], path: Path) -> dict[int | float, set[str]] | None:
    """The classes that each number was seen with, where numbers decide them: in their order such a class
    changes far less often than by chance."""
    in_order = sorted(pairs, key=lambda pair: pair[0])
    changes = sum(a[1] != b[1] for a, b in pairwise(in_order))
    by_chance = changes_by_chance([value for _, value in pairs], len(pairs) - 1)
    # What is there or not is a class that few mean, so that chance has many to choose from.
    if path[-1] == PRESENCE:
        decides = by_chance >= EVIDENT and changes <= TOLD * by_chance
    else:
        decides = len(pairs) >= ENOUGH and changes < ORDERED * by_chance
    if not decides:
        return None
    seen: dict[int | float, set[str]] = defaultdict(set)
    for number, value in pairs:
        seen[number].add(value)
    return seen
