"""Penalties of the search: for a word of the question that an answer omits, unless a training question has that
word; and for a value that the question lacks, where all training answers copy
(kernels/core/session/cover.h)."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_WORD = re.compile(rb"[0-9A-Za-z\x80-\xff]+")
_BASIS, _PRIME, _MASK = 0x811C9DC5, 0x01000193, 0xFFFFFFFF
_TOKEN = re.compile(rb'"((?:[^"\\]|\\.)*)"|[^ \n\t\r]', re.DOTALL)  # of JSON: a text, or a byte

# A model is surer of what follows from words that it knows than it should be where there is a new one, so the
# odds count for so much: docs/decisions/best-first-constrained-search.md.
_TRUST, _MOST = 4.0, 4.0
_WORDS = 32  # of a value


class Learned(NamedTuple):
    """words: those of the questions; nats: what one that is none of them is worth; copies: by key, what a value
    costs that does not stand in the question, in nats."""

    words: set[int]
    nats: float
    copies: dict[int, float]


def words(text: str) -> set[int]:
    """The words of a text, each by 32 bits of FNV-1a (Fowler, Noll and Vo)."""
    return set(_in_order(text.encode()))


def _in_order(text: bytes) -> list[int]:
    return [_hash(word) for word in _WORD.findall(text.lower())]


def _hash(word: bytes) -> int:
    value = _BASIS
    for byte in word:
        value = (value ^ byte) * _PRIME & _MASK
    return value


def learned(questions: Iterable[str], answers: Iterable[str]) -> Learned:
    """What training data tells.

    Words that one question alone has are as new words were before it was seen (Good's estimate). Of how many of
    them stand in its answer follow the odds that a new word should: even ones and less are worth nothing. Where
    every value of a key stands in its question, the odds that one does not are those of one more that would not
    (Laplace's rule).
    """
    rows = [
        (_in_order(question.encode()), answer.encode())
        for question, answer in zip(questions, answers, strict=True)
    ]
    said = [(set(question), set(_in_order(answer))) for question, answer in rows]
    count = Counter(word for question, _ in said for word in question)
    stand = [word in answer for question, answer in said for word in question if count[word] == 1]
    share = (sum(stand) + 1) / (len(stand) + 2)
    return Learned(set(count), min(_MOST, max(0.0, _TRUST * math.log(share / (1 - share)))), _copies(rows))


def _copies(rows: Iterable[tuple[list[int], bytes]]) -> dict[int, float]:
    seen: dict[int, list[bool]] = defaultdict(list)
    for question, answer in rows:
        for key, value in values(answer):
            seen[key].append(value is not None and _stands(value, question))
    return {key: min(_MOST, math.log(len(stand) + 1)) for key, stand in seen.items() if all(stand)}


def values(answer: bytes) -> Iterator[tuple[int, list[int] | None]]:
    """The key and the words of each text of JSON that is no key; None: of one that is not judged. A key is
    known by its bytes and how deep it stands; 0 is the key of values before one."""
    depth = key = 0
    last: tuple[int, list[int] | None] | None = None
    for match in _TOKEN.finditer(answer):
        byte, text = match[0], match[1]
        if last is not None and byte == b":":
            key = last[0]
        elif last is not None:
            yield key, last[1]
        last = None
        if text is not None:
            found = _in_order(text)
            is_judged = b"\\" not in text and len(found) <= _WORDS
            last = _hash(text + bytes([depth & 0xFF])), found if is_judged else None
        depth += (byte in b"{[") - (byte in b"}]")
    if last is not None:
        yield key, last[1]


def _stands(value: list[int], within: list[int]) -> bool:
    return any(within[k : k + len(value)] == value for k in range(len(within) - len(value) + 1))
