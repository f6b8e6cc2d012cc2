"""SentencePiece's byte-pair encoding, which merges the neighbours whose token has the highest score."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tinsmith.errors import UnsupportedError
from tinsmith.spec import Tokenizer

SPACE = "\u2581"
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
# Types of tokens made from text.
TEXT_TYPES = ("normal", "user")


def byte_of(token: str) -> int | None:
    """The byte of a token such as <0x0A>."""
    match = _BYTE.fullmatch(token)
    return int(match[1], 16) if match else None


def all_splits(tokens: Sequence[str], types: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    """For each token made from text, the pairs of such tokens that make it."""
    known = {token for token, kind in zip(tokens, types, strict=True) if kind in TEXT_TYPES}
    splits = {}
    for token in known:
        cuts = ((token[:at], token[at:]) for at in range(1, len(token)))
        pairs = [pair for pair in cuts if pair[0] in known and pair[1] in known]
        if pairs:
            splits[token] = pairs
    return splits


def ranked(t: Tokenizer) -> list[tuple[str, str, int]]:
    """Merges with their ranks; equal scores share a rank, and merge from the left."""
    if t.scores is None:
        return [(left, right, rank) for rank, (left, right) in enumerate(t.merges)]
    score = dict(zip(t.tokens, t.scores, strict=True))
    splits = all_splits(t.tokens, t.types)
    order = sorted(splits, key=lambda token: (-score[token], token))
    merges: list[tuple[str, str, int]] = []
    rank, last = 0, None
    for token in order:
        if score[token] != last:
            rank, last = len(merges), score[token]
        merges.extend((left, right, rank) for left, right in splits[token])
    return merges


def scores(t: Tokenizer) -> list[float]:
    """Scores with which GGUF's readers merge in the order of `merges`. Raises UnsupportedError if none do."""
    if t.scores is not None:
        return t.scores
    rank: dict[str, int] = {}
    splits = all_splits(t.tokens, t.types)
    kinds = dict(zip(t.tokens, t.types, strict=True))
    last, seen = "", 0
    for number, (left, right) in enumerate(t.merges):
        token = left + right
        if token != last:
            if token in rank and kinds[token] == "normal":
                raise UnsupportedError(f"merges of {token!r} lie apart, which GGUF's scores can't say")
            rank.setdefault(token, number)
            last = token
        seen += token in splits and kinds.get(token) == "normal"
    wanted = sum(len(pairs) for token, pairs in splits.items() if kinds[token] == "normal")
    if seen != wanted:
        raise UnsupportedError(
            f"the vocabulary has {wanted} pairs of tokens that make a token, and merges for {seen} of them, "
            "which GGUF's scores can't say"
        )
    return [-float(rank[token]) if token in rank else 0.0 for token in t.tokens]
