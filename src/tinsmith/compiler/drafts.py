"""Draft tables: n-grams for speculative decoding, learned from a task's answers
(kernels/core/text/draft_table.h).

A rule maps a context to its next token, or to a copy from the prompt, with a probability in 256ths. Contexts
are ordered from the most specific; cases that one settles don't count for later ones. Where a context leaves
several tokens likely, rules join it with each token of the prompt's end, and the most probable one that applies
is used (decision lists: Yarowsky 1994)."""

from __future__ import annotations

import struct
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TypeVar

from tinsmith import _core

MOST = 16384  # rules of a table: 128 KiB
MOST_ANSWERS = 4000  # to learn a table from

_MAGIC, _VERSION = 0x46524454, 2
_COPY, _CUED = 0x3FFFFF, 0x400000
# Cases of a rule, at least; and the gain in probability of one joined with a token of the prompt, at least.
_LEAST, _GAIN = 2, 0.02
# A context is settled where its most common token has at least this share, in at least so many cases.
_SETTLED, _FEW = 0.97, 3

T = TypeVar("T")
Answer = tuple[Sequence[int], Sequence[int]]  # tokens of a prompt, and of its answer with end token


def learn(model: _core.Model, answers: Sequence[Answer], most: int = MOST) -> bytes:
    """The table of these answers, with at most `most` rules."""
    settled = frozenset(
        key for key, counts in _counted(model, answers, frozenset()).items() if _is_settled(counts)
    )
    plain = _counted(model, answers, settled)
    cued = frozenset(k for k, counts in plain.items() if _cases(counts) >= _FEW and not _is_settled(counts))
    rules, parents = {}, {}
    for key, counts in plain.items():
        if _cases(counts) >= _LEAST:
            token, right, cases = _most_common(counts)
            parents[key] = right / (cases + 1)
            rules[key] = (right, _rule(token, right, cases) | (_CUED if key in cued else 0))
    for (key, parent), counts in _joined(model, answers, cued, settled).items():
        token, right, cases = _most_common(counts)
        gain = right / (cases + 1) - parents.get(parent, 0)
        if right >= _LEAST and gain > _GAIN and key not in rules:
            rules[key] = (round(gain * cases), _rule(token, right, cases))
    return _packed(model.info()["vocab"], rules, most)


def spread(rows: Sequence[T]) -> list[T]:
    """At most MOST_ANSWERS of the rows, evenly spaced."""
    count = min(len(rows), MOST_ANSWERS)
    return [rows[k * len(rows) // count] for k in range(count)]


def _cases(counts: Counter[int]) -> int:
    return counts.total() - counts[_COPY]


def _is_settled(counts: Counter[int]) -> bool:
    _, right, cases = _most_common(counts)
    return cases >= _FEW and right >= _SETTLED * cases


def _most_common(counts: Counter[int]) -> tuple[int, int, int]:
    """The most common token or _COPY, its count, and all cases. Of equal counts, _COPY or the lowest token."""
    token, right = max(counts.items(), key=lambda item: (item[1], item[0] == _COPY, -item[0]))
    return token, right, _cases(counts)


def _counted(model: _core.Model, answers: Sequence[Answer], settled: frozenset[int]) -> dict[int, Counter[int]]:
    """By context the counts of next tokens, and under _COPY of those that a copy gives. A context after a
    settled one at the same position does not count: the runtime would not look it up."""
    found: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for prompt, answer in answers:
        for token, contexts in zip(answer, _core.draft_keys(model, prompt, answer, frozenset()), strict=True):
            for key, copied, _ in contexts:
                found[key].update((token, _COPY) if copied == token else (token,))
                if key in settled:
                    break
    return found


def _joined(
    model: _core.Model, answers: Sequence[Answer], cued: frozenset[int], settled: frozenset[int]
) -> dict[tuple[int, int], Counter[int]]:
    """As _counted, by (context joined with a token of the prompt, context alone). A token that occurs several
    times in a prompt counts once."""
    found: defaultdict[tuple[int, int], Counter[int]] = defaultdict(Counter)
    for prompt, answer in answers:
        for token, contexts in zip(answer, _core.draft_keys(model, prompt, answer, cued), strict=True):
            parent, joined = 0, dict[tuple[int, int], bool]()
            for key, copied, cue in contexts:
                if not cue:
                    if parent in settled:
                        break
                    parent = key
                else:
                    joined[key, parent] = joined.get((key, parent), False) or copied == token
            for keys, copies in joined.items():
                found[keys].update((token, _COPY) if copies else (token,))
    return found


def _rule(token: int, right: int, cases: int) -> int:
    return max(1, min(255, 256 * right // (cases + 1))) << 24 | token


def _packed(vocab: int, rules: dict[int, tuple[int, int]], most: int) -> bytes:
    """drafts/answer.bin of the most valuable rules. rules: (value, rule) by context."""
    keys = sorted(sorted(rules, key=lambda key: (-rules[key][0], key))[:most])
    header = struct.pack("<8I", _MAGIC, _VERSION, vocab, len(keys), 0, 0, 0, 0)
    return header + struct.pack(f"<{2 * len(keys)}I", *keys, *(rules[key][1] for key in keys))
