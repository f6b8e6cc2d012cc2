"""New words: from letter n-grams of the training texts, from pieces of a tokenizer's vocabulary, or whole from
that vocabulary."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tinsmith.data.nearest import nearest

Rows = Callable[[Sequence[int]], Any]

_ORDERS = (2, 3)  # letters of context: fewer give more new words, more give better ones
_EDGE = "\n"
SHORTEST, LONGEST = 3, 10
_BEGINNING, _ENDING = (3, 6), (2, 4)  # letters of a word's two pieces
_USUAL = 16_000  # tokens in the vocabulary's order; later ones are rare
_ENOUGH = 50  # pieces of each kind, for varied words
_RICH = 1000  # whole words, for the same
_MOST = 16_000  # whole words, in the vocabulary's order
_ALIKE = 12  # nearest words of a word
_INFLECTED = 2  # last letters in which forms of a word may differ
_TRIES = 50


def _alphabetic(words: Iterable[str]) -> tuple[set[str], set[str]]:
    """The words of letters alone, and their letters."""
    known = {word for word in words if word.isalpha()}
    return known, {letter for word in known for letter in word}


class Words:
    """A letter n-gram model (Shannon 1948) of known words, of a random order for each letter.

    tokens: a vocabulary, as for Joined; its words are never drawn."""

    def __init__(self, known: Iterable[str], tokens: Iterable[str] = ()) -> None:
        self.known, _ = _alphabetic(known)
        self.tokens = {token.strip() for token in tokens}
        self.next: dict[str, list[str]] = defaultdict(list)
        for word in sorted(self.known):
            letters = _EDGE * max(_ORDERS) + word + _EDGE
            for i in range(max(_ORDERS), len(letters)):
                for order in _ORDERS:
                    self.next[letters[i - order : i]].append(letters[i])

    def draw(self, rng: random.Random) -> str | None:
        """A word of usual length that does not begin with a known word; None if none is found."""
        for _ in range(_TRIES if self.next else 0):
            word = self._draw(rng)
            beginnings = {word[:n] for n in range(SHORTEST, len(word) + 1)}
            is_new = not beginnings & self.known and word not in self.tokens
            if SHORTEST <= len(word) <= LONGEST and is_new:
                return word
        return None

    def _draw(self, rng: random.Random) -> str:
        letters = start = _EDGE * max(_ORDERS)
        while letters == start or not (letters.endswith(_EDGE) or len(letters) > len(start) + LONGEST):
            context = letters[-rng.choice(_ORDERS) :]
            letters += rng.choice(self.next[context])
        return letters.strip(_EDGE)


class Joined:
    """Words of two tokens: one that begins words, and one that continues them. A model trained to copy them
    meets its tokens after a space and after a quote.

    tokens: a vocabulary in order, with a space before tokens that begin a word. known: words of the texts,
    whose letters alone are used. Tokens and known words are never drawn."""

    def __init__(self, tokens: Sequence[str], known: Iterable[str]) -> None:
        known, letters = _alphabetic(known)
        self.words = known | {token.strip() for token in tokens}
        usual = [token for token in tokens[:_USUAL] if token.strip() and letters.issuperset(token.strip())]
        starts = (token[1:] for token in usual if token.startswith(" "))
        self.beginnings = [piece for piece in starts if _BEGINNING[0] <= len(piece) <= _BEGINNING[1]]
        self.endings = [piece for piece in usual if piece[0] != " " and _ENDING[0] <= len(piece) <= _ENDING[1]]
        self.is_rich = min(len(self.beginnings), len(self.endings)) >= _ENOUGH

    def draw(self, rng: random.Random) -> str | None:
        """None if the vocabulary has too few pieces, or no new word is found."""
        for _ in range(_TRIES if self.is_rich else 0):
            word = rng.choice(self.beginnings) + rng.choice(self.endings)
            if SHORTEST <= len(word) <= LONGEST and word not in self.words:
                return word
        return None


class Whole:
    """Words that are one token after a space, by embeddings similar to the words they replace.

    tokens, known: as for Joined. Neither known words nor other forms of them ("lamps") are drawn. rows: the
    embeddings of token ids, float32 [n, dim]. of: words to replace. Other words are replaced by any word."""

    def __init__(
        self, tokens: Sequence[str], known: Iterable[str], rows: Rows | None = None, of: Iterable[str] = ()
    ) -> None:
        known, letters = _alphabetic(known)
        stems = {stem for word in known for stem in _stems(word)}
        ids = {token[1:]: id for id, token in enumerate(tokens) if token.startswith(" ")}
        usual = (word for word in ids if SHORTEST <= len(word) <= LONGEST and letters.issuperset(word))
        self.words = [word for word in usual if stems.isdisjoint(_stems(word))][:_MOST]
        self.is_rich = len(self.words) >= _RICH
        self.like: dict[str, list[str]] = {}
        if self.is_rich and rows:
            some = sorted({word for word in of if word in ids})
            vectors = rows([ids[word] for word in (*self.words, *some)])
            queries = range(len(self.words), len(self.words) + len(some))
            found = nearest(vectors, len(self.words), queries, _ALIKE)
            self.like = {word: [self.words[i] for i in ones] for word, ones in zip(some, found, strict=True)}

    def knows(self, word: str) -> bool:
        """Whether words similar to this one are known."""
        return word.casefold() in self.like

    def draw(self, rng: random.Random, like: str) -> str | None:
        """A word similar to another, if known; None if the vocabulary has too few words."""
        return rng.choice(self.like.get(like.casefold(), self.words)) if self.is_rich else None


def _stems(word: str) -> list[str]:
    return [word[:length] for length in range(max(SHORTEST, len(word) - _INFLECTED), len(word) + 1)]
