"""Augments examples: a value that the output copies from the input gets a new value in both.

New texts come from similar inputs (an object to lock stays one with a lock), or have new words. New numbers lie
in the known range. Classes ("on", "light") stay.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import pairwise

from tinsmith.data.classes import is_value
from tinsmith.data.filling import Fill, cased, decimals, filled, neighbours, written
from tinsmith.data.leaves import Leaf, Path
from tinsmith.data.readers import Example
from tinsmith.data.slots import SEVERAL, Argument, Slot, Slots, argument, key, title, words
from tinsmith.data.splits import normalize
from tinsmith.data.ties import FIRST, Ties
from tinsmith.data.words import Joined, Rows, Whole, Words

SUBSTITUTED = 0.8  # share of an example's slots that a variant fills anew, at least one
NEW = 0.7  # share of new words among the new texts
INVENTED = 0.5  # share of new words that no training text has
VOCABULARY = 0.5  # share of invented words from the base's vocabulary, if it has enough
JOINED = 0.7  # share of the others joined from the vocabulary's pieces, if it has enough
RARE = 0.5  # exponent of a label's frequency that reduces its variants
WHOLE = 0.5  # share of new texts of several words that keep no word
ALIKE = 8  # drawn values, of which the one from the most similar input is used
NEAR, OWN = 3.0, 6.0  # weights of a common neighbour and of the same argument; words weigh less
SURE = 0.8  # least probability of a text's argument, by its neighbours, for a wholly new text
MOST, FINEST = 10**9, 6  # size and decimals of drawn numbers, so that floats represent them
TRIES = 4  # at a variant of an example
DIGITS = "0123456789"
TIMES = re.compile(r"\d:\d|\d(st|nd|rd|th)\b", re.IGNORECASE)  # which random digits would spoil
ADDRESS = re.compile(r"\w[@/]\w|:/|\w\.\w")  # of mail or a page

SEEN, NUMBER, NEW_WORDS = "seen", "number", "new words"


@dataclass
class Augmented:
    """rows: by variant. slots: by argument. sources: counts of the new values."""

    rows: list[list[Example]] = field(default_factory=list)
    slots: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)


def augment(
    train: Sequence[Example],
    values: Callable[..., list[Leaf]],
    variants: int,
    seed: int,
    labels: Sequence[str | None] = (),
    tokens: Sequence[str] = (),
    without: AbstractSet[str] = frozenset(),
    embeddings: Rows | None = None,
) -> Augmented:
    """`variants` rounds of about one new example per example with a slot; with labels, more for rare labels.

    values: Task.values. labels: of the examples. tokens: the base's vocabulary, as for words.Joined. without:
    lower-case words that are never drawn. embeddings: the base's, as for words.Whole. Each row's `about` has
    the number of its example, from 1, the variant, and the substitutions.
    """
    labels = labels or [None] * len(train)
    maker = _Maker(train, values, labels, tokens, without, embeddings)
    made = Augmented(slots=maker.counts())
    taken = {normalize(example.input) for example in train}
    # Values in an image can't change.
    has_slots = [
        bool(slots) and not example.images for example, slots in zip(train, maker.slots.of, strict=True)
    ]
    shares = _shares(has_slots, labels)
    for variant in range(variants):
        made.rows.append([])
        for i, share in enumerate(shares):
            rng = random.Random(f"{seed} {variant} {i}")
            for _ in range(int(share + rng.random())):
                example = maker.variant(i, rng, taken)
                if example is None:
                    continue
                taken.add(normalize(example.input))
                example.about.update({"from": i + 1, "variant": variant})
                made.sources.update(one["source"] for one in example.about["substituted"])
                made.rows[-1].append(example)
    return made


def origin(example: Example) -> int | None:
    """The number, from 1, of the example that a variant replaces; None for an example that is no variant."""
    return None if "source" in example.about else example.about.get("from")


def _shares(has_slots: Sequence[bool], labels: Sequence[str | None]) -> list[float]:
    """Expected variants of each example per round: one on average over examples with slots."""
    counts = Counter(labels)
    weights = [counts[label] ** -RARE if has else 0.0 for has, label in zip(has_slots, labels, strict=True)]
    scale = sum(has_slots) / (sum(weights) or 1.0)
    return [weight * scale for weight in weights]


def _within(old: str, word: str) -> str:
    """An address with its longest name replaced."""
    names = re.findall(r"(?!https?\b|www\b)\b[^\W\d_]+", old)
    return old.replace(max(names, key=len), word.replace(" ", ""), 1) if names else word


@dataclass(frozen=True)
class _Place:
    """A text in an example's input. around: the words before and after. carrier: these, and the input's words
    outside of slots. classes: of the output, beside the text."""

    argument: Argument
    text: str
    around: tuple[str, str]
    carrier: frozenset[str]
    classes: frozenset[tuple[Path, str]]


class _Numbers:
    """Sorted numbers of an argument, of one sign. grid: scaled to whole numbers; empty for too many decimals.
    step: their common divisor. between: neighbours on the grid."""

    def __init__(self, numbers: list[int | float]) -> None:
        self.numbers = numbers
        self.digits = max(map(decimals, numbers), default=0)
        self.grid = [round(one * 10**self.digits) for one in numbers] if self.digits <= FINEST else []
        self.step = math.gcd(*self.grid) or 1
        self.has_whole = any(isinstance(one, int) for one in numbers)
        self.between = list(pairwise(self.grid))


class _Maker:
    def __init__(
        self,
        train: Sequence[Example],
        values: Callable[..., list[Leaf]],
        labels: Sequence[str | None],
        tokens: Sequence[str],
        without: AbstractSet[str],
        embeddings: Rows | None,
    ) -> None:
        self.train, self.slots, self.without = train, Slots(train, values), without
        carriers = [self._carrier(example, slots) for example, slots in self._items()]
        self.ties = Ties(train, self.slots, values, labels, carriers)
        counts = Counter(word for carrier in carriers for word in carrier)
        self.weight = {word: math.log(1 + len(train) / count) for word, count in counts.items()}
        self.places: dict[tuple[int, Slot], _Place] = {}
        self.of_argument: dict[Argument, list[_Place]] = defaultdict(list)
        self.of_key: dict[str, list[_Place]] = defaultdict(list)
        self.together: dict[tuple[str, Path], set[str]] = defaultdict(set)
        for i, (example, slots) in enumerate(self._items()):
            for slot in slots:
                if isinstance(slot.value, str):
                    own = argument(slot.leaves[0])
                    around = neighbours(example.input, slot)
                    carrier = carriers[i] | {f"{around[0]} _", f"_ {around[1]}"}
                    place = _Place(own, slot.value, around, carrier, self.ties.of_slot(i, slot))
                    self.places[i, slot] = place
                    self.of_argument[own].append(place)
                    self.of_key[key(own[0])].append(place)
                    for path, value in place.classes:
                        self.together[slot.value.casefold(), path].add(value)
        self.numbers: dict[tuple[Argument, bool], _Numbers] = {}
        self._learn_words(tokens, embeddings)
        self.beside = [
            Counter((key(place.argument[0]), place.around[side]) for place in self.places.values())
            for side in (0, 1)
        ]
        self.keys = Counter(key(place.argument[0]) for place in self.places.values())

    def _items(self) -> list[tuple[Example, list[Slot]]]:
        return list(zip(self.train, self.slots.of, strict=True))

    @staticmethod
    def _carrier(example: Example, slots: Sequence[Slot]) -> frozenset[str]:
        return frozenset(words(written(example.input, {slot: " " for slot in slots})))

    def _learn_words(self, tokens: Sequence[str], embeddings: Rows | None) -> None:
        """The sources of new words: letters of the inputs, pieces of the vocabulary, and words of known values
        by argument and key. Last words are separate, since they name the kind of thing."""
        known = {word for example in self.train for word in words(example.input)}
        self.letters, self.joined = Words(known, tokens), Joined(tokens, known)
        replaced = {word for place in self.places.values() for word in words(place.text)}
        self.whole = Whole(tokens, known, embeddings, replaced)
        self.known = {name: {place.text.casefold() for place in places} for name, places in self.of_key.items()}
        self.words: dict[tuple[Argument | str, bool], list[str]] = defaultdict(list)
        groups: list[tuple[Argument | str, list[_Place]]] = [*self.of_argument.items(), *self.of_key.items()]
        for name, places in groups:
            for parts in sorted({tuple(place.text.split()) for place in places}):
                for j, word in enumerate(parts):
                    if len(parts) > 1 and self._is_content(word):
                        self.words[name, j == len(parts) - 1].append(word)

    def _is_content(self, word: str) -> bool:
        return all(self.slots.inside(part) for part in words(word)) and any(c.isalpha() for c in word)

    def counts(self) -> Counter[str]:
        return Counter(title(leaf.path) for slots in self.slots.of for slot in slots for leaf in slot.leaves)

    def variant(self, i: int, rng: random.Random, taken: set[str]) -> Example | None:
        """None for an example without slots, or if nothing new was found."""
        example, slots = self.train[i], self.slots.of[i]
        for _ in range(TRIES if slots else 0):
            chosen = [slot for slot in slots if rng.random() < SUBSTITUTED] or [rng.choice(slots)]
            fills = {slot: fill for slot in chosen if (fill := self._fill(i, slot, rng)) is not None}
            new = filled(example, fills)
            if new is not None and normalize(new.input) not in taken:
                return new
        return None

    def _fill(self, i: int, slot: Slot, rng: random.Random) -> Fill | None:
        if self.ties.stays(i, slot):
            return None
        if not isinstance(slot.value, str):
            number = self._number(slot, rng)
            return None if number is None else Fill(number, NUMBER)
        place = self.places[i, slot]
        like = self._alike(place, rng)
        if rng.random() < NEW:
            text = self._new(place, like or place, rng)
            if text:
                return Fill(text, NEW_WORDS)
        return None if like is None else Fill(like.text, SEEN)

    def _number(self, slot: Slot, rng: random.Random) -> int | float | None:
        """A number between two known neighbours, on their grid. 1 stays, and no number becomes 1, since words
        around it differ ("1 hour")."""
        value = slot.value
        assert not isinstance(value, str)
        ranges = [self._numbers(argument(leaf), value < 0) for leaf in slot.leaves]
        seen = ranges[0]
        if not all(one.numbers for one in ranges) or len(seen.grid) < 2:
            return None
        low, high = rng.choice(seen.between)
        drawn = rng.randrange(low, high + 1, seen.step)
        number: int | float = drawn / 10**seen.digits if seen.digits else drawn
        if float(number).is_integer() and seen.has_whole:
            number = int(number)
        is_seen = all(one.numbers[0] <= number <= one.numbers[-1] for one in ranges)
        return number if is_seen and number != value and 1 not in (abs(number), abs(value)) else None

    def _numbers(self, name: Argument, negative: bool) -> _Numbers:
        if (name, negative) not in self.numbers:
            known = (one for one in self.slots.statistics[name].values if not isinstance(one, str))
            own = sorted(one for one in known if (one < 0) == negative and abs(one) < MOST)
            self.numbers[name, negative] = _Numbers(own)
        return self.numbers[name, negative]

    def _alike(self, place: _Place, rng: random.Random) -> _Place | None:
        """Another text of the argument or its key, from a similar input."""
        drawn = [
            rng.choice(places)
            for places in (self.of_argument[place.argument], self.of_key[key(place.argument[0])])
            for _ in range(ALIKE // 2)
        ]
        others = [
            one for one in drawn if one.text.casefold() != place.text.casefold() and self._fits(one.text, place)
        ]
        return max(others, key=lambda one: self._likeness(place, one), default=None)

    def _fits(self, text: str, place: _Place) -> bool:
        """Whether a text fits the classes of the place: a door that is only open or closed can't replace a lamp
        that is on. A class that texts determine needs a known pair."""
        for path, value in place.classes:
            seen = self.together.get((text.casefold(), path), set())
            is_decided = bool(self.ties.by_texts(place.argument, [(path, value)]))
            if value not in seen and (is_decided or (seen and is_value(path))):
                return False
        return True

    def _likeness(self, place: _Place, one: _Place) -> tuple[int, float]:
        """The number of the place's classes that the other text is known with, and the weight of what both
        inputs have in common; rare words weigh more."""
        text = one.text.casefold()
        known = sum(
            value in self.together.get((text, path), ()) for path, value in place.classes if is_value(path)
        )
        # fsum: independent of the set's order.
        shared = math.fsum(self.weight.get(word, NEAR) for word in place.carrier & one.carrier)
        return known, shared + (OWN if one.argument == place.argument else 0)

    def _new(self, place: _Place, like: _Place, rng: random.Random) -> str | None:
        """A text like another one, with new words. The last word stays, or becomes a similar one, unless the
        neighbours identify the argument. A word that determines a class stays. None if the whole text does."""
        decisive = self.ties.by_texts(place.argument, place.classes)
        if None in decisive or TIMES.search(like.text):
            return None
        parts = like.text.split()
        last = len(parts) - 1
        kept = {0 if word == FIRST else last for word in decisive}
        content = [j for j, word in enumerate(parts) if self._is_content(word) and j not in kept]
        is_sure = self._is_sure(place)
        if not (is_sure and rng.random() < WHOLE):
            inner = [j for j in content if j != last]
            if not is_sure and last in content and self.whole.knows(parts[last]):
                inner.append(last)
            inner = inner or (content if is_sure else [])
            content = [rng.choice(inner)] if inner else []
        for j in content:
            old, is_last = parts[j], j == last
            if any(letter.isdigit() for letter in old):
                parts[j] = re.sub(r"\d", lambda digit: rng.choice(DIGITS), old)
                if not self.without.isdisjoint(words(parts[j])):
                    return None
                continue
            if is_last and not is_sure:
                word = self.whole.draw(rng, old)
            elif last:
                word = self._word(place.argument, old, is_last, rng)
            else:
                word = self._invented(old, rng)
            if word is None or word in self.without or word in place.carrier or word in parts:
                return None
            parts[j] = _within(old, word) if ADDRESS.search(old) else cased(old, word)
        text = " ".join(parts)
        is_new = text.casefold() not in self.known[key(place.argument[0])]
        return text if content and is_new else None

    def _word(self, own: Argument, old: str, is_last: bool, rng: random.Random) -> str | None:
        """A word for a text of several words: from the argument's texts, from those of its key, or invented."""
        known = self.words[own, is_last]
        if len(known) < SEVERAL:
            known = self.words[key(own[0]), is_last]
        return rng.choice(known) if known and rng.random() >= INVENTED else self._invented(old, rng)

    def _invented(self, old: str, rng: random.Random) -> str | None:
        if self.whole.is_rich and rng.random() < VOCABULARY:
            return self.whole.draw(rng, old)
        is_joined = self.joined.is_rich and rng.random() < JOINED
        return self.joined.draw(rng) if is_joined else self.letters.draw(rng)

    def _is_sure(self, place: _Place) -> bool:
        """Whether the words around a text identify its argument (naive Bayes)."""
        name = key(place.argument[0])
        scores = {
            other: count
            * math.prod((self.beside[side][other, place.around[side]] + 0.1) / (count + 1) for side in (0, 1))
            for other, count in self.keys.items()
        }
        return scores[name] >= SURE * sum(scores.values())
