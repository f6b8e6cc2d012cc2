"""What an answer pays for a word of the question that it leaves out, where no question of the training data
has that word (kernels/core/session/cover.h)."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable

_WORD = re.compile(rb"[0-9A-Za-z\x80-\xff]+")
_BASIS, _PRIME, _MASK = 0x811C9DC5, 0x01000193, 0xFFFFFFFF

# A model is surer of what follows from words that it knows than it should be where there is a new one, so the
# odds count for so much: docs/decisions/the-likeliest-answer.md.
_TRUST, _MOST = 4.0, 4.0


def words(text: str) -> set[int]:
    """The words of a text, each by 32 bits of FNV-1a (Fowler, Noll and Vo)."""
    return {_hash(word) for word in _WORD.findall(text.encode().lower())}


def _hash(word: bytes) -> int:
    value = _BASIS
    for byte in word:
        value = (value ^ byte) * _PRIME & _MASK
    return value


def learned(questions: Iterable[str], answers: Iterable[str]) -> tuple[set[int], float]:
    """The words of the questions, and what one that is none of them is worth, in nats.

    Words that one question alone has are as new words were before it was seen (Good's estimate). Of how many of
    them stand in its answer follow the odds that a new word should: even ones and less are worth nothing.
    """
    rows = [(words(question), words(answer)) for question, answer in zip(questions, answers, strict=True)]
    count = Counter(word for question, _ in rows for word in question)
    stand = [word in answer for question, answer in rows for word in question if count[word] == 1]
    share = (sum(stand) + 1) / (len(stand) + 2)
    return set(count), min(_MOST, max(0.0, _TRUST * math.log(share / (1 - share))))
