"""Draft tables: next tokens of an answer, learned from a task's answers (kernels/core/text/draft_table.h).

A rule says which token followed what was seen, or that the prompt's words are copied there, and in how many of
256 cases. What is seen comes the most particular first; what that settles is not counted for the rest. Where
what was seen leaves more than one token likely, rules join it with each token of the prompt's end, of which the
surest that fits is taken (decision lists: Yarowsky 1994).
"""

from __future__ import annotations

import struct
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TypeVar

from tinsmith import _core

MOST = 16384  # rules of a table: 128 KiB
MOST_ANSWERS = 4000  # that one is learned from

_MAGIC, _VERSION = 0x46524454, 2
_COPY, _CUED = 0x3FFFFF, 0x400000
# A rule is of at least so many cases; one with a token of the prompt must be so much surer than that without.
_LEAST, _SURER = 2, 0.02
# Where the likeliest token has at least this share, or cases are few, the prompt has little to add.
_SETTLED, _FEW = 0.97, 3

T = TypeVar("T")
Answer = tuple[Sequence[int], Sequence[int]]  # tokens of a prompt, and of what follows, with its end


def learn(model: _core.Model, answers: Sequence[Answer], most: int = MOST) -> bytes:
    """The table of these answers, with at most `most` rules."""
    alone = _counted(model, answers, frozenset())
    settled = frozenset(key for key, seen in alone.items() if _is_settled(seen))
    plain = _counted(model, answers, settled)
    cued = frozenset(key for key, seen in plain.items() if _is_open(seen))
    rules, parents = {}, {}
    for key, seen in plain.items():
        if seen.total() - seen[_COPY] >= _LEAST:
            token, right, cases = _likeliest(seen)
            parents[key] = right / (cases + 1)
            rules[key] = (right, _rule(token, right, cases) | (_CUED if key in cued else 0))
    for (key, parent), seen in _joined(model, answers, cued, settled).items():
        token, right, cases = _likeliest(seen)
        gained = right / (cases + 1) - parents.get(parent, 0)
        if right >= _LEAST and gained > _SURER and key not in rules:
            rules[key] = (round(gained * cases), _rule(token, right, cases))
    return _packed(model.info()["vocab"], rules, most)


def spread(rows: Sequence[T]) -> list[T]:
    """As many as a table is learned from, evenly chosen."""
    count = min(len(rows), MOST_ANSWERS)
    return [rows[k * len(rows) // count] for k in range(count)]


def _is_settled(seen: Counter[int]) -> bool:
    _, right, cases = _likeliest(seen)
    return cases >= _FEW and right >= _SETTLED * cases


def _is_open(seen: Counter[int]) -> bool:
    return not _is_settled(seen) and seen.total() - seen[_COPY] >= _FEW


def _likeliest(seen: Counter[int]) -> tuple[int, int, int]:
    """The token or _COPY, in how many cases it was right, and of how many; of equals copying, or the first."""
    cases = seen.total() - seen[_COPY]
    token, right = max(seen.items(), key=lambda item: (item[1], item[0] == _COPY, -item[0]))
    return token, right, cases


def _counted(model: _core.Model, answers: Sequence[Answer], settled: frozenset[int]) -> dict[int, Counter[int]]:
    """By key the tokens that followed, and in how many cases copying would have given them. A key that comes
    behind a settled one of the same place does not count it: it is asked where those before it do not know."""
    found: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for prompt, answer in answers:
        for token, places in zip(answer, _core.draft_keys(model, prompt, answer, frozenset()), strict=True):
            for key, copied, _ in places:
                found[key].update((token, _COPY) if copied == token else (token,))
                if key in settled:
                    break
    return found


def _joined(
    model: _core.Model, answers: Sequence[Answer], cued: frozenset[int], settled: frozenset[int]
) -> dict[tuple[int, int], Counter[int]]:
    """As _counted, of keys with a token of the prompt and the key that it was joined to. A token that a prompt
    has several times counts once."""
    found: defaultdict[tuple[int, int], Counter[int]] = defaultdict(Counter)
    for prompt, answer in answers:
        for token, places in zip(answer, _core.draft_keys(model, prompt, answer, cued), strict=True):
            parent, joined = 0, dict[tuple[int, int], bool]()
            for key, copied, cue in places:
                if not cue:
                    if parent in settled:
                        break
                    parent = key
                else:
                    joined[key, parent] = joined.get((key, parent), False) or copied == token
            for place, copies in joined.items():
                found[place].update((token, _COPY) if copies else (token,))
    return found


def _rule(token: int, right: int, cases: int) -> int:
    return max(1, min(255, 256 * right // (cases + 1))) << 24 | token


def _packed(vocab: int, rules: dict[int, tuple[int, int]], most: int) -> bytes:
    """drafts/answer.bin of the rules by key, with what each is worth; those worth the most."""
    kept = sorted(sorted(rules, key=lambda key: (-rules[key][0], key))[:most])
    header = struct.pack("<8I", _MAGIC, _VERSION, vocab, len(kept), 0, 0, 0, 0)
    return header + struct.pack(f"<{2 * len(kept)}I", *kept, *(rules[key][1] for key in kept))
