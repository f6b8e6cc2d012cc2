"""Words that are no words: of letters as they follow each other in the words of a text, or of the pieces that a
tokenizer cuts words into."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence

_ORDERS = (2, 3)  # letters that decide the next one: fewer give more new words, more give better ones
_EDGE = "\n"
SHORTEST, LONGEST = 3, 10
_BEGINNING, _ENDING = (3, 6), (2, 4)  # letters that a word's two pieces may have
_USUAL = 16_000  # of a vocabulary's tokens, in their order: the later ones are of few texts
_ENOUGH = 50  # pieces of each kind, for words that differ


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
