"""Slots: values of outputs that stand in the inputs word for word, and the arguments that copy them from there.

An argument copies when nearly all of its values are found so; the others are classes, whose words ("on",
"light") are part of how a command is said, whether they stand in it or not.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import product

from tinsmith.data.chance import tell, vary
from tinsmith.data.leaves import ITEM, Leaf, beside
from tinsmith.data.readers import Example

Value = str | int | float
Span = tuple[int, int]
Argument = tuple[tuple[str, ...], bool]  # a path, and whether the values are texts

# Of an argument's values in the training data: the share that must stand in their inputs. Numbers are also said
# as words or follow from other words ("half an hour"), so of these it is a share of the distinct values.
COPIED_TEXTS, COPIED_NUMBERS = 0.95, 0.8
BY_CHANCE = 0.4  # of an argument's numbers: the share up to which they may be others that stand there
SEVERAL = 3  # distinct values that an argument must be seen with
DISTINCT = 0.8  # of an argument's values: the share of distinct ones up to which they are classes
FEW = 1 / 3  # of an argument's values: the share of distinct ones up to which they are classes for sure
SAYS = 3  # letters and digits of a text from which on another that has them is made of it
ENOUGH = 10  # values by which an argument is judged alone; with fewer, together with those of the same key
# Of the inputs that a text stands in: the share in which it must be a value, to be one where it stands once,
# and where it stands more often than the output has it.
MEANT, ALWAYS_MEANT = 0.5, 0.95
NAME = re.compile(r"[^\W\d_]+[-_/#.]?\d\S*")  # letters, and digits after them
GAP = re.compile(r"\s+")  # between a value's words; an input may have wider ones, or line ends


@dataclass(frozen=True)
class Slot:
    """A value of one example. leaves: where the output has it; spans: where the input says it; negated: it says
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
class Seen:
    """What the training data shows of an argument. copied: how many of its values stand in their inputs."""

    rows: int = 0
    copied: int = 0
    values: Counter[Value] = field(default_factory=Counter)
    copied_values: set[Value] = field(default_factory=set)

    @property
    def recurs(self) -> bool:
        """Whether its values come again, as those of a class do; days and sums hardly do."""
        return self.rows < ENOUGH or len(self.values) <= DISTINCT * self.rows

    @property
    def is_class(self) -> bool:
        """Whether they come again so often that a row shows little of what another one is made of."""
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
    """What arguments of the same kind share, whatever they are arguments of."""
    return next((step for step in reversed(path) if step != ITEM), ITEM)


def title(path: tuple[str, ...]) -> str:
    return ".".join(path).replace(f".{ITEM}", ITEM)


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def follows(leaf: Leaf, slot: Slot) -> bool:
    """Whether a value of an argument that does not copy may be made of one that stands in the input: a number
    of a number (a sum), a text of what it holds (an address of a name, a time of an hour)."""
    if isinstance(slot.value, str):
        if not isinstance(leaf.value, str):
            return False
        held = _squeezed(slot.value)
        is_held = len(held) >= SAYS and held in _squeezed(leaf.value)
        return is_held or (_is_number(slot.value) and _is_number(leaf.value))
    if isinstance(leaf.value, str):
        return str(abs(slot.value)) in (number.lstrip("0") or "0" for number in re.findall(r"\d+", leaf.value))
    return True


def _is_numeric(leaf: Leaf) -> bool:
    return isinstance(leaf.value, int | float) and not isinstance(leaf.value, bool)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[-+]?\d[\d.,]*", text) is not None


def _begin_alike(pairs: Sequence[tuple[str, str]]) -> bool:
    """Whether texts begin with the other one's first letter, as a login of two names does."""
    return sum(a[:1] == b[:1].casefold() for a, b in pairs) >= COPIED_TEXTS * len(pairs)


def _is_amount(text: str, other: str) -> bool:
    """Whether digits of a text may count in another's: not those of a name such as RE2031."""
    return all(any(one.isdigit() for one in side) for side in (text, other)) and not NAME.fullmatch(text)


def _squeezed(text: str) -> str:
    return "".join(words(text))


def slots_in(text: str, leaves: Iterable[Leaf]) -> list[Slot]:
    """The values that stand in an input, a longer one before those that it holds; one that stands only inside
    of another is none, and neither is that other."""
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
                entangled.add(name)  # one spelling is made of the other
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
    """Where a value stands: a text between word boundaries, in any case and with any gaps; a number in digits
    that is no part of a longer one, a date, a fraction or a word."""
    if isinstance(value, str):
        words = r"\s+".join(map(re.escape, GAP.split(value)))
        return re.compile(rf"(?<!\w){words}(?!\w)", re.IGNORECASE)
    zeros = "0*" if isinstance(value, float) else ""
    return re.compile(rf"(?<![\w.-])(?<!\d[,/:]){re.escape(str(value))}{zeros}(?!\w)(?![.,/:-]\d)")


class Slots:
    """Those of a training set. of: by example; seen: what it shows of an argument; copied: those that copy."""

    def __init__(self, train: Sequence[Example], values: Callable[[str], list[Leaf]]) -> None:
        leaves = [values(example.output) for example in train]
        standing = [slots_in(example.input, own) for example, own in zip(train, leaves, strict=True)]
        self.seen: dict[Argument, Seen] = defaultdict(Seen)
        alike: dict[tuple[str, bool], Seen] = defaultdict(Seen)
        for own, slots in zip(leaves, standing, strict=True):
            stand = {leaf for slot in slots for leaf in slot.leaves}
            for leaf in own:
                path, is_text = argument(leaf)
                for seen in (self.seen[path, is_text], alike[key(path), is_text]):
                    seen.rows += 1
                    seen.values[leaf.value] += 1
                    if leaf in stand:
                        seen.copied += 1
                        seen.copied_values.add(leaf.value)
        self.copied = {
            (path, is_text)
            for (path, is_text), seen in self.seen.items()
            if (seen if seen.rows >= ENOUGH else alike[key(path), is_text]).copies(is_text)
        }
        self._inputs = [example.input for example in train]
        self._holders: dict[str, set[int]] = defaultdict(set)
        for i, text in enumerate(self._inputs):
            for word in words(text):
                self._holders[word].add(i)
        meant = [[slot for slot in slots if slot.arguments <= self.copied] for slots in standing]
        self._inside = Counter(
            word for slots in meant for word in {word for slot in slots for word in words(str(slot.value))}
        )
        self._as_value = Counter(
            slot.value.casefold() for slots in meant for slot in slots if isinstance(slot.value, str)
        )
        self._meant: dict[str, float] = {}
        there = [{leaf for slot in slots for leaf in slot.leaves} for slots in standing]
        self._spoken = self._number_words(leaves, there)
        clear = [[slot for slot in slots if self._is_clear(i, slot)] for i, slots in enumerate(meant)]
        made = [[leaf for leaf in own if self._is_made(argument(leaf))] for own in leaves]
        # By two arguments, what their values were together.
        pairs: dict[tuple[Argument, Argument], list[tuple[str, str]]] = defaultdict(list)
        for own, slots in zip(made, clear, strict=True):
            for slot in slots:
                for leaf in own:
                    name = argument(slot.leaves[0]), argument(leaf)
                    pairs[name].append((str(slot.value).casefold(), str(leaf.value)))
        self._apart = {name for name, seen in pairs.items() if vary(seen) and not _begin_alike(seen)}
        self._scaling = self._units(leaves, made, clear)
        self.of = [
            [slot for slot in slots if not any(self._follows(leaf, slot, leaf in stand) for leaf in own)]
            for own, slots, stand in zip(made, clear, there, strict=True)
        ]

    def _follows(self, leaf: Leaf, slot: Slot, stands: bool) -> bool:
        """Whether a value that does not copy may hang on the slot's. What seldom comes again, and does not
        stand in the input, is made of something: of any number, of any text with digits where it has some, and
        where it has letters, or is a number, of any text, unless equal ones were seen with others."""
        if not any(beside(own, leaf) for own in slot.leaves):
            return False
        if follows(leaf, slot):
            return True
        seen = self.seen[argument(leaf)]
        if not stands and len(seen.values) > ENOUGH and _is_amount(str(slot.value), str(leaf.value)):
            return True
        own, is_text = argument(slot.leaves[0]), isinstance(leaf.value, str)
        if (own, argument(leaf)) in self._scaling:
            return True
        if stands or seen.is_class:
            return False
        if not isinstance(slot.value, str):
            return True
        is_code = is_text and not any(character.isalpha() for character in leaf.value)
        return not is_code and (own, argument(leaf)) not in self._apart

    @staticmethod
    def _units(
        leaves: Sequence[list[Leaf]], made: Sequence[list[Leaf]], clear: Sequence[list[Slot]]
    ) -> set[tuple[Argument, Argument]]:
        """Pairs of arguments: the texts of the first tell how many times another number the second one is."""
        ratios: dict[tuple[Argument, Argument, Argument], list[tuple[str, float]]] = defaultdict(list)
        for own, products, slots in zip(leaves, made, clear, strict=True):
            texts = [slot for slot in slots if isinstance(slot.value, str)]
            for one, other in product(products, own) if texts else ():
                if _is_numeric(one) and _is_numeric(other) and other.value and beside(one, other):
                    ratio = float(f"{one.value / other.value:.6g}")
                    for slot in texts:
                        name = argument(slot.leaves[0]), argument(one), argument(other)
                        ratios[name].append((str(slot.value).casefold(), ratio))
        return {name[:2] for name, pairs in ratios.items() if tell(pairs)}

    def _is_made(self, own: Argument) -> bool:
        """Whether an argument's values may be made of others: they differ, and are none that copies, where some
        are said in words ("an hour")."""
        return own not in self.copied and len(self.seen[own].values) > 1

    def meant(self, text: str) -> float:
        """Of the inputs that a text stands in, the share in which it is the value of an argument that copies; 1
        where it stands in none."""
        text = text.casefold()
        if text not in self._meant:
            holders = [self._holders.get(word, set()) for word in words(text)]
            among = set.intersection(*holders) if holders else set()
            count = sum(pattern(text).search(self._inputs[i]) is not None for i in among)
            self._meant[text] = self._as_value[text] / count if count else 1.0
        return self._meant[text]

    def inside(self, word: str) -> bool:
        """Whether a word stands in values rather than around them."""
        if word not in self._inside:
            return False
        return self._inside[word] >= MEANT * len(self._holders[word])

    def _number_words(self, leaves: Sequence[list[Leaf]], there: Sequence[set[Leaf]]) -> set[tuple[str, Value]]:
        """The words by which inputs say numbers, each with its number: those that stand where one of the
        output's is not written in digits, as often as they stand at all."""
        said = Counter(
            (word, value)
            for text, own, stand in zip(self._inputs, leaves, there, strict=True)
            for value in {leaf.value for leaf in own if not isinstance(leaf.value, str) and leaf not in stand}
            for word in set(words(text))
        )
        return {
            (word, value)
            for (word, value), count in said.items()
            if count >= max(SEVERAL, MEANT * len(self._holders[word]))
        }

    def _is_clear(self, i: int, slot: Slot) -> bool:
        """Whether all places where the input says the value mean it, and none says it in other words."""
        says_as_often = len(slot.spans) in (1, len(slot.leaves))
        if isinstance(slot.value, str):
            return self.meant(slot.value) >= (MEANT if says_as_often else ALWAYS_MEANT)
        return says_as_often and not any((word, slot.value) in self._spoken for word in words(self._inputs[i]))
