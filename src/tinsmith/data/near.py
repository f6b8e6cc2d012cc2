"""Which texts are nearly the same: those whose sets of words are alike by Jaccard's measure."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict, deque
from collections.abc import Sequence

# Scripts that put no spaces between words: each character counts as one.
_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_ROUNDED = 1e-9  # what floats may be off
_WORD = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")


def in_order(text: str) -> list[str]:
    """The words of a normalized text, as they come."""
    return _WORD.findall(text)


def words(text: str) -> frozenset[str]:
    return frozenset(in_order(text)) or frozenset([text])


def alike(a: frozenset[str], b: frozenset[str]) -> float:
    """Of the words of both, the share that both have."""
    common = len(a & b)
    return common / (len(a) + len(b) - common)


def _whole(count: float) -> int:
    """The least whole number that is not below it."""
    return math.ceil(count - _ROUNDED)


class Joined:
    """Groups of the numbers below `count`, each its own until two are joined."""

    def __init__(self, count: int) -> None:
        self.above = list(range(count))

    def of(self, number: int) -> int:
        """The least number of its group."""
        while self.above[number] != number:
            self.above[number] = self.above[self.above[number]]
            number = self.above[number]
        return number

    def join(self, a: int, b: int) -> None:
        a, b = self.of(a), self.of(b)
        self.above[max(a, b)] = min(a, b)


def join_near(texts: Sequence[str], least: float, groups: Joined) -> None:
    """Joins those that are alike at least as much, and what these are alike to. texts: distinct.

    All pairs are found, and few compared: two sets that are alike share one of their rarest words, as many of
    them as they may differ in and one more (Bayardo, Ma and Srikant, Scaling up all pairs similarity search,
    2007); of the smaller set fewer, and at places from which on the rest may suffice (Xiao et al., Efficient
    similarity joins for near-duplicate detection, 2008).
    """
    sets = [words(text) for text in texts]
    first: dict[frozenset[str], int] = {}
    for number, own in enumerate(sets):
        groups.join(first.setdefault(own, number), number)
    counts = Counter(word for own in first for word in own)
    share = least / (1 + least)  # of the words of two sets, counted in both: those that they have in common
    holders: dict[str, deque[tuple[int, int, int]]] = defaultdict(deque)  # number, words, those from here on
    for own, number in sorted(first.items(), key=lambda item: len(item[0])):
        size = len(own)
        rarest = sorted(own, key=lambda word: (counts[word], word))[: size - _whole(least * size) + 1]
        found = set()
        for at, word in enumerate(rarest):
            held = holders[word]
            while held and held[0][1] < least * size:
                held.popleft()  # too small for this one, and for all that are larger
            found |= {
                other
                for other, count, left in held
                if min(size - at, left) >= share * (size + count) - _ROUNDED
            }
        for other in found:
            if groups.of(other) != groups.of(number) and alike(own, sets[other]) >= least:
                groups.join(other, number)
        for at, word in enumerate(rarest[: size - _whole(2 * share * size) + 1]):
            holders[word].append((number, size, size - at))
