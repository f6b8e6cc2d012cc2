"""Rows whose inputs are the same or nearly so.

MinHash with locality-sensitive hashing (Broder 1997; Indyk and Motwani 1998) over runs of three characters
proposes pairs; what their words differ in decides. A difference that recurs throughout the data ("minute" and
"minutes") is the data's own variety, and makes no near-duplicate.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from datasketch import MinHash, MinHashLSH
from rapidfuzz import fuzz
from rapidfuzz.distance import OSA

from tinsmith.prepare.check._texts import FILLERS
from tinsmith.prepare.check.rows import Data, answer

_RUN, _PERMUTATIONS, _JACCARD, _SEED = 3, 64, 0.6, 1
# Of 100, by rapidfuzz: what the letters of near-duplicates have in common, at least, and those of other pairs
# by which it is judged whether a difference recurs.
_ALIKE, _HARDLY = 90.0, 75.0
_SHARE, _LONG = 0.1, 60  # the share of words that may differ, one always may; words of a long text
_EDITS = 2  # letters of a slip of the pen
_TYPOS, _OFTENER = 3, 10  # texts that have the same slip, and how many times more have the word as it is meant
_COMMON = 0.01  # the share of texts that a word is in without which a text says the same
_RECURS = 3  # texts on either side of a change of words, which is the data's own then

Words = tuple[str, ...]
Change = tuple[Words, Words]  # those of the first text, and those in their place


@dataclass(frozen=True)
class Pair:
    """Two rows of equal outputs, or of texts that are nearly so, the first one first. same: their inputs are
    the same but for case, spacing and punctuation."""

    first: int
    second: int
    same: bool


def pairs(data: Data) -> list[Pair]:
    made: list[Pair] = data.once("pairs", lambda: list(_pairs(data)))
    return made


def _pairs(data: Data) -> Iterator[Pair]:
    """Of rows that are the same, each with the first of its split; of the others, the first of each split."""
    groups: dict[tuple[str, str], dict[str, list[int]]] = {}
    for i, text in enumerate(data.folded):
        by_split = groups.setdefault((text, answer(data, i)), defaultdict(list))
        by_split[data.rows[i].split].append(i)
    for by_split in groups.values():
        heads = [rows[0] for rows in by_split.values()]
        for rows in by_split.values():
            yield from (Pair(rows[0], row, True) for row in rows[1:])
        yield from (Pair(a, b, True) for k, a in enumerate(heads) for b in heads[k + 1 :])
    # Of images the question may be the same in all; image_leak compares what they show.
    texts = [key for key, rows in groups.items() if not _has_images(data, rows)]
    for one, other in _near(texts, data.task.is_free):
        for a in groups[one].values():
            for b in groups[other].values():
                yield Pair(min(a[0], b[0]), max(a[0], b[0]), False)


def _has_images(data: Data, by_split: Mapping[str, list[int]]) -> bool:
    return any(data.rows[i].example.images for rows in by_split.values() for i in rows)


def _near(texts: Sequence[tuple[str, str]], free: bool) -> list[tuple[tuple[str, str], tuple[str, str]]]:
    """Pairs of inputs with one answer. free: which is a text, of which as much may differ as of the input."""
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
    """In what texts differ that are no copies of one another. holders: in how many of them each word is."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = len(texts)
        self.holders = Counter(word for text in texts for word in set(_words(text)))
        self.sides: dict[tuple[Words, Words], set[int]] = defaultdict(set)

    def add(self, a: int, b: int, changes: Sequence[Change]) -> None:
        for gone, come in changes:
            self.sides[gone, come].add(a)
            self.sides[come, gone].add(b)

    def recurs(self, change: Change) -> bool:
        """On both sides: a word that one text alone has, though it is near many, is no variety."""
        gone, come = change
        return min(len(self.sides[gone, come]), len(self.sides[come, gone])) >= _RECURS

    def is_slight(self, changes: Sequence[Change], words: int) -> bool:
        """Whether a text of so many words says the same after these changes: words are mistyped, or common ones
        left out; in a long text others may differ too."""
        few = max(1.0, _SHARE * words)
        if sum(max(map(len, change)) for change in changes) > few:
            return False
        return words >= _LONG or all(self._says_the_same(*change) for change in changes)

    def _says_the_same(self, gone: Words, come: Words) -> bool:
        if gone and come:
            return self._is_slip(gone, come)
        return all(self.holders[word] >= _COMMON * self.texts for word in gone + come)

    def _is_slip(self, gone: Words, come: Words) -> bool:
        one, other = "".join(gone), "".join(come)  # a space may have come between
        if any(map(str.isdigit, one + other)):
            return False
        rare, usual = sorted(min(self.holders[word] for word in words) for words in (gone, come))
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
