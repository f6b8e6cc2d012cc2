"""Rows with the same or nearly the same input.

MinHash with locality-sensitive hashing (Broder 1997; Indyk and Motwani 1998) over three-character shingles
proposes pairs; the differing words decide. A difference that recurs throughout the data ("minute", "minutes")
is its natural variety, and makes no near-duplicate."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import chain

from datasketch import MinHash, MinHashLSH
from rapidfuzz import fuzz
from rapidfuzz.distance import OSA

from tinsmith.prepare.check._texts import FILLERS
from tinsmith.prepare.check.rows import Data, answer

_RUN, _PERMUTATIONS, _JACCARD, _SEED = 3, 64, 0.6, 1
# rapidfuzz's ratio, of 100: of near-duplicates, and of pairs that show whether a difference recurs.
_ALIKE, _HARDLY = 90.0, 75.0
_SHARE, _LONG = 0.1, 60  # share of words that may differ (one always may); words of a long text
_EDITS = 2  # letters of a typo
_TYPOS, _OFTENER = 3, 10  # most texts with the same typo; least ratio of texts with the right word
_COMMON = 0.01  # least share of texts with a word that may be left out
_RECURS = 3  # least texts on each side of a recurring change

Words = tuple[str, ...]
Change = tuple[Words, Words]  # words of the first text, and their replacement


@dataclass(frozen=True)
class Pair:
    """Two rows with equal or nearly equal outputs. same: equal inputs but for case, spacing and punctuation."""

    first: int
    second: int
    same: bool


@lru_cache(1)
def pairs(data: Data) -> list[Pair]:
    return list(_pairs(data))


def _pairs(data: Data) -> Iterator[Pair]:
    """Equal rows, each with the first of its split; near-duplicates, the first of each split."""
    groups: dict[tuple[str, str], dict[str, list[int]]] = {}
    for i, text in enumerate(data.folded):
        by_split = groups.setdefault((text, answer(data, i)), defaultdict(list))
        by_split[data.rows[i].split].append(i)
    for by_split in groups.values():
        heads = [rows[0] for rows in by_split.values()]
        for rows in by_split.values():
            yield from (Pair(rows[0], row, True) for row in rows[1:])
        yield from (Pair(a, b, True) for k, a in enumerate(heads) for b in heads[k + 1 :])
    # All images may have the same question; image_leak compares the images.
    with_images = {i for i, row in enumerate(data.rows) if row.example.images}
    texts = [key for key, rows in groups.items() if with_images.isdisjoint(chain(*rows.values()))]
    for one, other in _near(texts, data.task.is_free):
        for a in groups[one].values():
            for b in groups[other].values():
                yield Pair(min(a[0], b[0]), max(a[0], b[0]), False)


def _near(texts: Sequence[tuple[str, str]], free: bool) -> list[tuple[tuple[str, str], tuple[str, str]]]:
    """Pairs of similar inputs with the same answer; a similar one, if answers are free texts."""
    plain = [" ".join(word for word in text.split() if word not in FILLERS) or text for text, _ in texts]
    found: list[tuple[int, int, float, list[Change]]] = []
    for a, b in _proposed(plain):
        answers = texts[a][1], texts[b][1]
        if answers[0] == answers[1] or (free and fuzz.ratio(*answers, score_cutoff=_ALIKE)):
            alike = fuzz.ratio(plain[a], plain[b], score_cutoff=_HARDLY)
            if alike:
                found.append((a, b, alike, _changes(plain[a], plain[b])))
    variety = _Variety(plain)
    for a, b, _, changes in found:
        variety.add(a, b, changes)
    return [
        (texts[a], texts[b])
        for a, b, alike, changes in found
        if alike >= _ALIKE
        and not (changes and all(map(variety.recurs, changes)))
        and variety.is_slight(changes, len(_words(plain[a])))
    ]


class _Variety:
    """The differences between similar texts. counts: texts with each word."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = len(texts)
        self.counts = Counter(word for text in texts for word in set(_words(text)))
        self.sides: dict[tuple[Words, Words], set[int]] = defaultdict(set)

    def add(self, a: int, b: int, changes: Sequence[Change]) -> None:
        for old, new in changes:
            self.sides[old, new].add(a)
            self.sides[new, old].add(b)

    def recurs(self, change: Change) -> bool:
        """Whether several texts have each side; a word of one text alone is no variety."""
        old, new = change
        return min(len(self.sides[old, new]), len(self.sides[new, old])) >= _RECURS

    def is_slight(self, changes: Sequence[Change], words: int) -> bool:
        """Whether these changes keep the meaning of a text of so many words: typos, or common words left out;
        in a long text, any few."""
        few = max(1.0, _SHARE * words)
        if sum(max(map(len, change)) for change in changes) > few:
            return False
        return words >= _LONG or all(self._keeps_meaning(*change) for change in changes)

    def _keeps_meaning(self, old: Words, new: Words) -> bool:
        if old and new:
            return self._is_typo(old, new)
        return all(self.counts[word] >= _COMMON * self.texts for word in old + new)

    def _is_typo(self, old: Words, new: Words) -> bool:
        one, other = "".join(old), "".join(new)  # a typo may insert a space
        if any(map(str.isdigit, one + other)):
            return False
        rare, usual = sorted(min(self.counts[word] for word in words) for words in (old, new))
        mistyped = rare == 1 or (rare <= _TYPOS and usual >= _OFTENER * rare)
        return mistyped and OSA.distance(one, other) <= min(_EDITS, len(one) // 3)


def _proposed(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    padded = [f" {text} " for text in texts]
    runs = [[run.encode() for run in {one[i : i + _RUN] for i in range(len(one) - 2)}] for one in padded]
    index = MinHashLSH(threshold=_JACCARD, num_perm=_PERMUTATIONS)
    for i, sketch in enumerate(MinHash.bulk(runs, num_perm=_PERMUTATIONS, seed=_SEED)):
        yield from ((j, i) for j in sorted(index.query(sketch)))
        index.insert(i, sketch)


def _changes(a: str, b: str) -> list[Change]:
    one, other = _words(a), _words(b)
    codes = SequenceMatcher(None, one, other, autojunk=False).get_opcodes()
    return [(one[i:j], other[k:m]) for kind, i, j, k, m in codes if kind != "equal"]


def _words(text: str) -> Words:
    return tuple(re.findall(r"\w+", text))
