"""Words that a text has not: of letters as they follow each other in its own, of the pieces that a tokenizer
cuts words into, or such as its vocabulary has whole."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tinsmith.data.alike import nearest

Rows = Callable[[Sequence[int]], Any]

_ORDERS = (2, 3)  # letters that decide the next one: fewer give more new words, more give better ones
_EDGE = "\n"
SHORTEST, LONGEST = 3, 10
_BEGINNING, _ENDING = (3, 6), (2, 4)  # letters that a word's two pieces may have
_USUAL = 16_000  # of a vocabulary's tokens, in their order: the later ones are of few texts
_ENOUGH = 50  # pieces of each kind, for words that differ
_RICH = 1000  # whole words, for the same
_MOST = 16_000  # whole words, in the vocabulary's order
_ALIKE = 12  # words that are like another, of a vocabulary
_INFLECTED = 2  # last letters in which forms of a word may differ


class Words:
    """A letter n-gram model (Shannon 1948) of the words given, its order drawn anew for each letter.

    tokens: a vocabulary's, as Joined takes them: a word that is one is a word of some text, and never drawn."""

    def __init__(self, known: Iterable[str], tokens: Iterable[str] = ()) -> None:
        self.known = {word for word in known if word.isalpha()}
        self.tokens = {token.strip() for token in tokens}
        self.next: dict[str, list[str]] = defaultdict(list)
        for word in sorted(self.known):
            letters = _EDGE * max(_ORDERS) + word + _EDGE
            for i in range(max(_ORDERS), len(letters)):
                for order in _ORDERS:
                    self.next[letters[i - order : i]].append(letters[i])

    def draw(self, rng: random.Random) -> str | None:
        """A word of usual length that is no form of those known; None where they are too few to make one."""
        for _ in range(50 if self.next else 0):
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
    """A piece that words begin with, and one that goes on: a model that copies these has met its own tokens, as
    they are after a space and as they are after a quote.

    tokens: a vocabulary's, in order, a space before those that begin a word; known: words of the text that is
    to be alike, whose letters alone are used. A word that is a token or known is never drawn."""

    def __init__(self, tokens: Sequence[str], known: Iterable[str]) -> None:
        known = {word for word in known if word.isalpha()}
        letters = {letter for word in known for letter in word}
        self.words = known | {token.strip() for token in tokens}
        usual = [token for token in tokens[:_USUAL] if token.strip() and letters.issuperset(token.strip())]
        starts = (token[1:] for token in usual if token.startswith(" "))
        self.beginnings = [piece for piece in starts if _BEGINNING[0] <= len(piece) <= _BEGINNING[1]]
        self.endings = [piece for piece in usual if piece[0] != " " and _ENDING[0] <= len(piece) <= _ENDING[1]]
        self.is_rich = min(len(self.beginnings), len(self.endings)) >= _ENOUGH

    def draw(self, rng: random.Random) -> str | None:
        """None where the vocabulary has too few pieces, or nothing new was found."""
        for _ in range(50 if self.is_rich else 0):
            word = rng.choice(self.beginnings) + rng.choice(self.endings)
            if SHORTEST <= len(word) <= LONGEST and word not in self.words:
                return word
        return None


class Whole:
    """A word that the vocabulary has as one token after a space, and by the model's embeddings like the one
    whose place it takes: another thing of its kind.

    tokens, known: as Joined takes them, whose letters alone are used. None of known is drawn, nor another form
    of it ("lamps"), which means what that one does. rows: gives the embeddings of token ids, float32 [n, dim];
    of: words whose places are taken. Without embeddings, and for other words, any is drawn."""

    def __init__(
        self, tokens: Sequence[str], known: Iterable[str], rows: Rows | None = None, of: Iterable[str] = ()
    ) -> None:
        known = {word for word in known if word.isalpha()}
        letters = {letter for word in known for letter in word}
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
        """Whether a word that is drawn for another is like it."""
        return word.casefold() in self.like

    def draw(self, rng: random.Random, like: str) -> str | None:
        """One like another, where it knows that; None where the vocabulary has too few."""
        return rng.choice(self.like.get(like.casefold(), self.words)) if self.is_rich else None


def _stems(word: str) -> list[str]:
    return [word[:length] for length in range(max(SHORTEST, len(word) - _INFLECTED), len(word) + 1)]
