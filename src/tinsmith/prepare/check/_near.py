"""Rows whose inputs are the same or nearly so.

MinHash with locality-sensitive hashing (Broder 1997; Indyk and Motwani 1998) over runs of three characters
proposes pairs; what their words differ in decides. A difference that recurs throughout the data ("minute" and
"minutes") is the data's own variety, and makes no near-duplicate.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from datasketch import MinHash, MinHashLSH
from rapidfuzz import fuzz

from tinsmith.prepare.check._texts import FILLERS
from tinsmith.prepare.check.rows import Data, answer

_RUN, _PERMUTATIONS, _JACCARD, _SEED = 3, 64, 0.6, 1
# Of 100, by rapidfuzz: what the letters of near-duplicates have in common, at least, and those of other pairs
# by which it is judged whether a difference recurs.
_ALIKE, _HARDLY = 90.0, 75.0
_WORDS = 0.1  # the share of words that may differ; one always may
_RECURS = 3  # pairs with one change of words, which is the data's own then

Change = tuple[tuple[str, ...], tuple[str, ...]]  # words, and those in their place; whichever come first


@dataclass(frozen=True)
class Pair:
    """Two rows of equal outputs, the first one first. same: their inputs are the same but for case, spacing and
    punctuation."""

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
    for one, other in _near(list(groups)):
        for a in groups[one].values():
            for b in groups[other].values():
                yield Pair(min(a[0], b[0]), max(a[0], b[0]), False)


def _near(texts: Sequence[tuple[str, str]]) -> list[tuple[tuple[str, str], tuple[str, str]]]:
    """Pairs of inputs with one answer."""
    plain = [" ".join(word for word in text.split() if word not in FILLERS) or text for text, _ in texts]
    found: list[tuple[int, int, float, list[Change]]] = []
    for a, b in _proposed(plain):
        if texts[a][1] == texts[b][1]:
            alike = fuzz.ratio(plain[a], plain[b], score_cutoff=_HARDLY)
            if alike:
                found.append((a, b, alike, _changes(plain[a], plain[b])))
    seen = Counter(change for *_, changes in found for change in changes)
    near = []
    for a, b, alike, changes in found:
        few = max(1.0, _WORDS * len(plain[a].split()))
        own = [change for change in changes if seen[change] < _RECURS]
        if alike >= _ALIKE and (own or not changes) and sum(max(map(len, c)) for c in changes) <= few:
            near.append((texts[a], texts[b]))
    return near


def _proposed(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    runs = [[text.encode() for text in {f" {text} "[i : i + _RUN] for i in range(len(text))}] for text in texts]
    index = MinHashLSH(threshold=_JACCARD, num_perm=_PERMUTATIONS)
    for i, sketch in enumerate(MinHash.bulk(runs, num_perm=_PERMUTATIONS, seed=_SEED)):
        yield from ((j, i) for j in sorted(index.query(sketch)))
        index.insert(i, sketch)


def _changes(a: str, b: str) -> list[Change]:
    one, other = re.findall(r"\w+", a), re.findall(r"\w+", b)
    codes = SequenceMatcher(None, one, other, autojunk=False).get_opcodes()
    return [_change(one[i:j], other[k:m]) for kind, i, j, k, m in codes if kind != "equal"]


def _change(a: Sequence[str], b: Sequence[str]) -> Change:
    first, second = sorted((tuple(a), tuple(b)))
    return first, second
