"""Near-duplicate texts, by the Jaccard similarity of their sets of words."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict, deque
from collections.abc import Sequence

# Scripts without spaces between words: each character counts as a word.
_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_ROUNDED = 1e-9  # tolerance of floats
_WORD = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")


def in_order(text: str) -> list[str]:
    """The words of a normalized text."""
    return _WORD.findall(text)


def words(text: str) -> frozenset[str]:
    return frozenset(in_order(text)) or frozenset([text])


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    """The Jaccard similarity."""
    common = len(a & b)
    return common / (len(a) + len(b) - common)


def _ceil(count: float) -> int:
    return math.ceil(count - _ROUNDED)


class DisjointSets:
    """Disjoint sets of the numbers below `count`."""

    def __init__(self, count: int) -> None:
        self.parents = list(range(count))

    def find(self, number: int) -> int:
        """The least number of its set."""
        while self.parents[number] != number:
            self.parents[number] = self.parents[self.parents[number]]
            number = self.parents[number]
        return number

    def union(self, a: int, b: int) -> None:
        a, b = self.find(a), self.find(b)
        self.parents[max(a, b)] = min(a, b)


def near_groups(texts: Sequence[str], least: float) -> DisjointSets:
    """Groups the indices of distinct texts whose similarity is at least `least`, directly or through others.

    Finds all pairs and compares few: two similar sets share one of their rarest words (prefix filtering;
    Bayardo, Ma and Srikant, Scaling up all pairs similarity search, 2007). The smaller set's prefix is shorter,
    and the words left after a match must suffice (Xiao et al., Efficient similarity joins for near-duplicate
    detection, 2008).
    """
    groups = DisjointSets(len(texts))
    sets = [words(text) for text in texts]
    first: dict[frozenset[str], int] = {}
    for number, own in enumerate(sets):
        groups.union(first.setdefault(own, number), number)
    counts = Counter(word for own in first for word in own)
    share = least / (1 + least)  # common words, as a share of the two sets' sizes together
    holders: dict[str, deque[tuple[int, int, int]]] = defaultdict(deque)  # number, size, words from here on
    for own, number in sorted(first.items(), key=lambda item: len(item[0])):
        size = len(own)
        rarest = sorted(own, key=lambda word: (counts[word], word))[: size - _ceil(least * size) + 1]
        found = set()
        for at, word in enumerate(rarest):
            others = holders[word]
            while others and others[0][1] < least * size:
                others.popleft()  # too small for this set, and for all larger ones
            found |= {
                other
                for other, count, left in others
                if min(size - at, left) >= share * (size + count) - _ROUNDED
            }
        for other in found:
            if groups.find(other) != groups.find(number) and jaccard(own, sets[other]) >= least:
                groups.union(other, number)
        for at, word in enumerate(rarest[: size - _ceil(2 * share * size) + 1]):
            holders[word].append((number, size, size - at))
    return groups
