"""Ties: copied values that classes of the output, or its other values, depend on, found in the training data.

An augmented example must not contradict them. If cities determine countries, a new city must have the old one's
country. A number on which a class depends stays, and so does a number that another one is never above.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from itertools import combinations
from typing import Any

from tinsmith.data.chance import EVIDENT, TOLERATED, depends, determine, differing, in_runs, vary
from tinsmith.data.classes import classes_of
from tinsmith.data.leaves import Leaf, Path, beside
from tinsmith.data.readers import Example
from tinsmith.data.slots import ENOUGH, Argument, Slot, Slots, argument, key

LETTERS = 4  # most letters at a text's beginning or end that may determine a class
LONG = 16  # characters from which digits are no number
MANY = 64  # numbers of an output, among which an order is sought
WIDE = 8  # values of an output, up to which pairs of them are examined
FIRST, LAST = "first", "last"

Name = tuple[Argument, Path]  # an argument, and the path of a class that may depend on it
_Pair = tuple[Argument, Argument, Path]  # of a class that may depend on both


class Ties:
    """classes: by example.

    by_text: arguments of texts that determine a class: by which word, or None for the whole text.
    fixed: arguments whose values stay, since a class depends on each, or on two together.
    ordered: arguments of numbers that stay, since they have an order among them.
    unexplained: paths of classes that vary although everything but the copied values is equal, or that numbers
    determine in part. All copied values beside them stay, where there are several."""

    def __init__(
        self,
        train: Sequence[Example],
        slots: Slots,
        values: Callable[..., list[Leaf]],
        labels: Sequence[str | None],
        carriers: Sequence[frozenset[str]],
    ) -> None:
        outputs = [values(example.output, literals=True) for example in train]
        self.classes = classes_of(outputs, labels, slots)
        copied = [[leaf for leaf in own if argument(leaf) in slots.copied] for own in outputs]
        self._has_several = [len(own) > 1 for own in copied]
        self.ordered = _ordered(copied) | _ranked(outputs, copied)
        self.by_text: dict[Name, str | None] = {}
        self.fixed: set[Name] = set()
        in_part = self._learn_values(slots)
        explained = {path for _, path in (*self.by_text, *self.fixed)} - in_part
        explained |= self._learn_pairs(copied, explained)
        alike: dict[Path, list[tuple[Hashable, str]]] = defaultdict(list)
        for own, classes, carrier in zip(slots.of, self.classes, carriers, strict=True):
            keys = tuple(sorted(key(leaf.path) for slot in own for leaf in slot.leaves))
            for one in classes if own else ():
                alike[one.path].append(((carrier, keys), one.value))
        self.unexplained = ({path for path, pairs in alike.items() if vary(pairs)} | in_part) - explained

    def _learn_values(self, slots: Slots) -> set[Path]:
        """Finds classes that depend on one value. Returns the paths of those that a number tells in part."""
        texts: dict[Name, list[tuple[str, str]]] = defaultdict(list)
        numbers: dict[Name, list[tuple[float, str]]] = defaultdict(list)
        for i, own in enumerate(slots.of):
            for slot in own:
                for leaf in slot.leaves[:1] if isinstance(slot.value, str) else slot.leaves:
                    number = _first_number(leaf.value)
                    for path, value in self.of_leaf(i, leaf):
                        if isinstance(leaf.value, str):
                            texts[argument(leaf), path].append((leaf.value.casefold(), value))
                        if number is not None:
                            numbers[argument(leaf), path].append((number, value))
        self.by_text = {name: kept[0] for name, pairs in texts.items() if (kept := _decisive_words(pairs))}
        in_part = set()
        for name, pairs in numbers.items():
            if name in self.by_text:
                continue
            if determine(pairs) or in_runs(pairs):
                self.fixed.add(name)
            elif depends(pairs):
                self.fixed.add(name)
                in_part.add(name[1])
        return in_part

    def _learn_pairs(self, copied: Sequence[Sequence[Leaf]], known: set[Path]) -> set[Path]:
        """Finds classes that depend on two texts together, or on the difference of two numbers. Returns their
        paths."""
        texts: dict[_Pair, list[tuple[tuple[str, str], str]]] = defaultdict(list)
        differences: dict[_Pair, list[tuple[float, str]]] = defaultdict(list)
        for own, classes in zip(copied, self.classes, strict=True):
            outer = sorted((argument(leaf), leaf.value) for leaf in own if not leaf.place)
            others = [(one.path, one.value) for one in classes if not one.place and one.path not in known]
            for (one, first), (other, second) in combinations(outer if len(outer) <= WIDE else (), 2):
                low, high = _amount(first), _amount(second)
                for path, value in others:
                    if low is not None and high is not None:
                        differences[one, other, path].append((low - high, value))
                    elif isinstance(first, str) and isinstance(second, str):
                        texts[one, other, path].append(((first.casefold(), second.casefold()), value))
        found = {names for names, pairs in differences.items() if depends(pairs)}
        for names, pairs in texts.items():
            alone = min(differing((key[place], value) for key, value in pairs)[1] for place in (0, 1))
            if determine(pairs) and alone >= EVIDENT and differing(pairs)[1] <= TOLERATED * alone:
                found.add(names)
        self.fixed |= {(name, path) for one, other, path in found for name in (one, other)}
        return {path for _, _, path in found}

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
        """Whether another value could contradict a class, or another value of the output."""
        if not self.ordered.isdisjoint(slot.arguments):
            return True
        names = [(argument(leaf), path) for leaf in slot.leaves for path, _ in self.of_leaf(i, leaf)]
        if any(name in self.fixed for name in names):
            return True
        return self._has_several[i] and any(path in self.unexplained for _, path in names)


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
    numbers = [(number, value) for text, value in pairs if (number := _first_number(text)) is not None]
    return any(determine(zip(one, values, strict=True)) for one in keys) or in_runs(numbers)


def _first_number(value: Any) -> float | None:
    if not isinstance(value, str):
        return float(value)
    digits = re.search(r"\d+(?:\.\d+)?", value[:LONG])
    return float(digits[0]) if digits else None


def _amount(value: Any) -> float | None:
    """The number to order a value by: a number, also in a text, a date (2026-12-01) or a time (7:30)."""
    if not isinstance(value, str):
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if len(value) < LONG and re.fullmatch(r"-?\d+(?:\.\d+)?", value):
        return float(value)
    is_moment = re.fullmatch(r"(\d{4}-\d\d-\d\d)?[T ]?(\d\d?:\d\d(:\d\d)?)?", value)
    parts = re.findall(r"\d+", value) if is_moment else []
    return float("".join(f"{int(part):02}" for part in parts)) if parts else None


def _ordered(copied: Iterable[Sequence[Leaf]]) -> set[Argument]:
    """The arguments whose number is never above another's beside it, though some would be by chance; or that
    always rise or fall in a list."""
    seen: dict[tuple[Argument, Argument], list[tuple[float, float]]] = defaultdict(list)
    for own in copied:
        amounts = [(leaf, found) for leaf in own if (found := _amount(leaf.value)) is not None]
        for (one, first), (other, second) in combinations(amounts[:MANY], 2):
            is_list = one.path == other.path and one.place[:-1] == other.place[:-1]
            if is_list or beside(one, other):
                seen[argument(one), argument(other)].append((first, second))
    rising = (
        names
        for names, pairs in seen.items()
        if _rises(pairs) or _rises([(second, first) for first, second in pairs])
    )
    return {one for names in rising for one in names}


def _rises(pairs: Sequence[tuple[float, float]]) -> bool:
    """Whether no first number is above its second one, although several would be if they were drawn
    independently."""
    if any(first > second for first, second in pairs):
        return False
    firsts = sorted(first for first, _ in pairs)
    return sum(len(firsts) - bisect_right(firsts, second) for _, second in pairs) >= EVIDENT * len(pairs)


def _ranked(outputs: Iterable[Sequence[Leaf]], copied: Iterable[Sequence[Leaf]]) -> set[Argument]:
    """All numbers, if an output's text always equals one of several others, as a winner's does."""
    equal: dict[Argument, list[set[tuple[Path, tuple[int, ...]]]]] = defaultdict(list)
    for own in outputs:
        texts = [leaf for leaf in own if isinstance(leaf.value, str)]
        for leaf in texts:
            if not leaf.place:
                same = {(one.path, one.place) for one in texts if one.value == leaf.value and one is not leaf}
                equal[argument(leaf)].append(same)
    repeats = any(
        len(found) >= ENOUGH and all(found) and not set.intersection(*found) for found in equal.values()
    )
    return (
        {argument(leaf) for own in copied for leaf in own if _amount(leaf.value) is not None}
        if repeats
        else set()
    )
