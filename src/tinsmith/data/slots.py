"""Slots: output values that the input contains word for word, and the arguments that copy their values.

An argument copies if inputs contain nearly all of its values. The values of other arguments are classes: their
words ("on", "light") belong to the phrasing of a command.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import product

from tinsmith.data.chance import determine, vary
from tinsmith.data.leaves import ITEM, Leaf, beside
from tinsmith.data.readers import Example

Value = str | int | float
Span = tuple[int, int]
Argument = tuple[tuple[str, ...], bool]  # a path, and whether the values are texts

# Share of an argument's values that inputs must contain; of numbers, a share of the distinct values, since
# words may also state or imply them ("half an hour").
COPIED_TEXTS, COPIED_NUMBERS = 0.95, 0.8
BY_CHANCE = 0.4  # share of an argument's numbers in the inputs, up to which they may be there by chance
SEVERAL = 3  # distinct values that an argument needs
DISTINCT = 0.8  # share of distinct values up to which they may be classes
FEW = 1 / 3  # share of distinct values up to which they are certainly classes
SAYS = 3  # letters and digits of a text, from which a text that contains them may derive from it
ENOUGH = 10  # values from which an argument is judged alone, otherwise with arguments of the same key
MEANT = 0.5  # share of the inputs containing a text where it must be a value
NAME = re.compile(r"[^\W\d_]+[-_/#.]?\d\S*")  # letters followed by digits
GAP = re.compile(r"\s+")  # between a value's words


@dataclass(frozen=True)
class Slot:
    """A copied value of an example. leaves: in the output. spans: in the input. negated: whether the input has
    the number without its minus sign."""

    leaves: tuple[Leaf, ...]
    spans: tuple[Span, ...]
    negated: bool = False

    @property
    def value(self) -> Value:
        value: Value = self.leaves[0].value
        return value

    @property
    def arguments(self) -> set[Argument]:
        return {argument(leaf) for leaf in self.leaves}


@dataclass
class Statistics:
    """Counts of an argument in the training data. copied: values that their inputs contain."""

    rows: int = 0
    copied: int = 0
    values: Counter[Value] = field(default_factory=Counter)
    copied_values: set[Value] = field(default_factory=set)

    def add(self, value: Value, is_copied: bool) -> None:
        self.rows += 1
        self.values[value] += 1
        if is_copied:
            self.copied += 1
            self.copied_values.add(value)

    @property
    def recurs(self) -> bool:
        """Whether values recur, as those of a class do; dates and sums hardly do."""
        return self.rows < ENOUGH or len(self.values) <= DISTINCT * self.rows

    @property
    def is_class(self) -> bool:
        """Whether values recur so often that they can't derive from others."""
        return self.rows < ENOUGH or len(self.values) <= max(ENOUGH, FEW * self.rows)

    def copies(self, is_text: bool) -> bool:
        if len(self.copied_values) < SEVERAL:
            return False
        if is_text:
            return self.copied >= COPIED_TEXTS * self.rows
        if self.copied < BY_CHANCE * self.rows:
            return False
        return len(self.copied_values) >= COPIED_NUMBERS * len(self.values)


def argument(leaf: Leaf) -> Argument:
    return leaf.path, isinstance(leaf.value, str)


def key(path: tuple[str, ...]) -> str:
    """The last key, which similar arguments share."""
    return next((step for step in reversed(path) if step != ITEM), ITEM)


def title(path: tuple[str, ...]) -> str:
    return ".".join(path).replace(f".{ITEM}", ITEM)


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _derives(leaf: Leaf, slot: Slot) -> bool:
    """Whether a value may derive from a copied one: a number from a number (a sum), a text from its part (an
    address from a name, a time from an hour)."""
    if isinstance(slot.value, str):
        if not isinstance(leaf.value, str):
            return False
        part = _squeezed(slot.value)
        return len(part) >= SAYS and part in _squeezed(leaf.value)
    if isinstance(leaf.value, str):
        return str(abs(slot.value)) in (number.lstrip("0") or "0" for number in re.findall(r"\d+", leaf.value))
    return True


def _is_amount(text: str, other: str) -> bool:
    """Whether both texts have digits, and the first is no name such as RE2031."""
    return all(any(one.isdigit() for one in side) for side in (text, other)) and not NAME.fullmatch(text)


def _squeezed(text: str) -> str:
    return "".join(words(text))


def slots_in(text: str, leaves: Iterable[Leaf]) -> list[Slot]:
    """The values that an input contains, longer ones first. A value that occurs only inside another one is no
    slot, and neither is the other one."""
    groups: dict[tuple[bool, str], list[Leaf]] = defaultdict(list)
    for leaf in leaves:
        if words(str(leaf.value)):
            groups[isinstance(leaf.value, str), str(leaf.value).casefold()].append(leaf)
    owners: dict[Span, tuple[bool, str]] = {}
    slots: dict[tuple[bool, str], Slot] = {}
    entangled: set[tuple[bool, str]] = set()
    for name, same in sorted(groups.items(), key=lambda group: -len(group[0][1])):
        spans, negated = _spans(text, same[0].value)
        inside = {span: owner for span in spans for one, owner in owners.items() if _overlap(span, one)}
        free = tuple(span for span in spans if span not in inside)
        if free:
            owners |= dict.fromkeys(free, name)
            slots[name] = Slot(tuple(same), free, negated)
            if len({leaf.value for leaf in same}) > 1:
                entangled.add(name)  # spellings that derive from each other
        else:
            entangled.update(inside.values())
    return [slot for name, slot in slots.items() if name not in entangled]


def _overlap(a: Span, b: Span) -> bool:
    return a[0] < b[1] and b[0] < a[1]


def _spans(text: str, value: Value) -> tuple[list[Span], bool]:
    spans = [match.span() for match in pattern(value).finditer(text)]
    if not spans and not isinstance(value, str) and value < 0:
        return [match.span() for match in pattern(-value).finditer(text)], True
    return spans, False


@cache
def pattern(value: Value) -> re.Pattern[str]:
    """Matches a text between word boundaries, in any case and with any gaps; a number in digits that is not
    part of a longer number, a date, a fraction or a word."""
    if isinstance(value, str):
        words = r"\s+".join(map(re.escape, GAP.split(value)))
        return re.compile(rf"(?<!\w){words}(?!\w)", re.IGNORECASE)
    zeros = "0*" if isinstance(value, float) else ""
    return re.compile(rf"(?<![\w.-])(?<!\d[,/:]){re.escape(str(value))}{zeros}(?!\w)(?![.,/:-]\d)")


class Slots:
    """The slots of a training set. of: by example. statistics: by argument. copied: arguments that copy."""

    def __init__(self, train: Sequence[Example], values: Callable[[str], list[Leaf]]) -> None:
        leaves = [values(example.output) for example in train]
        candidates = [slots_in(example.input, own) for example, own in zip(train, leaves, strict=True)]
        present = [{leaf for slot in slots for leaf in slot.leaves} for slots in candidates]
        self.statistics, self.copied = _counted(leaves, present)
        self._inputs = [example.input for example in train]
        self._rows_of: dict[str, set[int]] = defaultdict(set)  # by word
        for i, text in enumerate(self._inputs):
            for word in words(text):
                self._rows_of[word].add(i)
        copied = [[slot for slot in slots if slot.arguments <= self.copied] for slots in candidates]
        self._inside = Counter(
            word for slots in copied for word in {word for slot in slots for word in words(str(slot.value))}
        )
        texts = (slot.value for slots in copied for slot in slots if isinstance(slot.value, str))
        self._as_value = Counter(map(str.casefold, texts))
        self._shares: dict[str, float] = {}
        self._number_words = self._words_of_numbers(leaves, present)
        clear = [[slot for slot in slots if self._is_clear(i, slot)] for i, slots in enumerate(copied)]
        derived = [[leaf for leaf in own if self._may_derive(argument(leaf))] for own in leaves]
        pairs: dict[tuple[Argument, Argument], list[tuple[str, str, bool]]] = defaultdict(list)
        for own, slots, there in zip(derived, clear, present, strict=True):
            for slot, leaf in product(slots, own):
                name = argument(slot.leaves[0]), argument(leaf)
                pairs[name].append((str(slot.value).casefold(), str(leaf.value), leaf in there))
        self._independent = {
            name for name, seen in pairs.items() if vary((text, value) for text, value, _ in seen)
        }
        self._units = {
            name for name, seen in pairs.items() if determine((text, is_in) for text, _, is_in in seen)
        }
        self.of = [
            [slot for slot in slots if not any(self._depends(leaf, slot, leaf in there) for leaf in own)]
            for own, slots, there in zip(derived, clear, present, strict=True)
        ]

    def _depends(self, leaf: Leaf, slot: Slot, is_present: bool) -> bool:
        """Whether a value that does not copy may depend on the slot's. A rare value that the input lacks
        derives from something: from any number; from any text with digits if it has digits itself; and, with
        letters or as a number, from any text, unless equal texts had different values. A text that tells
        whether a value is in the input is its unit."""
        if not any(beside(own, leaf) for own in slot.leaves):
            return False
        if _derives(leaf, slot):
            return True
        known = self.statistics[argument(leaf)]
        if not is_present and len(known.values) > ENOUGH and _is_amount(str(slot.value), str(leaf.value)):
            return True
        names = argument(slot.leaves[0]), argument(leaf)
        if names in self._units:
            return True
        if is_present or known.is_class:
            return False
        if not isinstance(slot.value, str):
            return True
        is_code = isinstance(leaf.value, str) and not any(character.isalpha() for character in leaf.value)
        return not is_code and names not in self._independent

    def _may_derive(self, own: Argument) -> bool:
        """Whether values may derive from others: not of a constant, nor of an argument that copies, some of
        whose values are in words ("an hour")."""
        return own not in self.copied and len(self.statistics[own].values) > 1

    def share_as_value(self, text: str) -> float:
        """Share of the inputs containing a text where it is a copied value; 1 if no input contains it."""
        text = text.casefold()
        if text not in self._shares:
            rows = [self._rows_of.get(word, set()) for word in words(text)]
            candidates = set.intersection(*rows) if rows else set()
            count = sum(pattern(text).search(self._inputs[i]) is not None for i in candidates)
            self._shares[text] = self._as_value[text] / count if count else 1.0
        return self._shares[text]

    def inside(self, word: str) -> bool:
        """Whether a word is mostly part of values."""
        return word in self._inside and self._inside[word] >= MEANT * len(self._rows_of[word])

    def _words_of_numbers(
        self, leaves: Sequence[list[Leaf]], present: Sequence[set[Leaf]]
    ) -> set[tuple[str, Value]]:
        """The words for numbers, each with its number: words of most inputs where the output has a number that
        the input does not have in digits."""
        counts = Counter(
            (word, value)
            for text, own, there in zip(self._inputs, leaves, present, strict=True)
            for value in {leaf.value for leaf in own if not isinstance(leaf.value, str) and leaf not in there}
            for word in set(words(text))
        )
        return {
            (word, value)
            for (word, value), count in counts.items()
            if count >= max(SEVERAL, MEANT * len(self._rows_of[word]))
        }

    def _is_clear(self, i: int, slot: Slot) -> bool:
        """Whether every occurrence in the input is the value, and no other words state it."""
        if isinstance(slot.value, str):
            return self.share_as_value(slot.value) >= MEANT
        spoken = ((word, slot.value) in self._number_words for word in words(self._inputs[i]))
        return len(slot.spans) in (1, len(slot.leaves)) and not any(spoken)


def _counted(
    leaves: Sequence[list[Leaf]], present: Sequence[set[Leaf]]
) -> tuple[dict[Argument, Statistics], set[Argument]]:
    """The statistics of each argument, and the arguments that copy."""
    by_argument: dict[Argument, Statistics] = defaultdict(Statistics)
    by_key: dict[tuple[str, bool], Statistics] = defaultdict(Statistics)
    for own, there in zip(leaves, present, strict=True):
        for leaf in own:
            path, is_text = argument(leaf)
            by_argument[path, is_text].add(leaf.value, leaf in there)
            by_key[key(path), is_text].add(leaf.value, leaf in there)
    copied = {
        (path, is_text)
        for (path, is_text), own in by_argument.items()
        if (own if own.rows >= ENOUGH else by_key[key(path), is_text]).copies(is_text)
    }
    return by_argument, copied
