"""Which texts are nearly the same: those whose sets of words are alike by Jaccard's measure."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict, deque
from collections.abc import Sequence

# Scripts that put no spaces between words: each character counts as one.
_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")


def in_order(text: str) -> list[str]:
    """Its words as they come."""
    return _WORD.findall(text)


def words(text: str) -> frozenset[str]:
    return frozenset(in_order(text)) or frozenset([text])


def alike(a: frozenset[str], b: frozenset[str]) -> float:
    """Of the words of both, the share that both have."""
    common = len(a & b)
    return common / (len(a) + len(b) - common)


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
    2007).
    """
    sets = [words(text) for text in texts]
    counts = Counter(word for one in sets for word in one)
    holders: dict[str, deque[int]] = defaultdict(deque)
    for number in sorted(range(len(sets)), key=lambda number: len(sets[number])):
        own = sets[number]
        rarest = sorted(own, key=lambda word: (counts[word], word))[
            : len(own) - math.ceil(least * len(own)) + 1
        ]
        for word in rarest:
            while holders[word] and len(sets[holders[word][0]]) < least * len(own):
                holders[word].popleft()  # too small for this one, and for all that are larger
        for other in {other for word in rarest for other in holders[word]}:
            if alike(own, sets[other]) >= least:
                groups.join(other, number)
        for word in rarest:
            holders[word].append(number)
