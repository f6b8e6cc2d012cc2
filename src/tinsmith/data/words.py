"""Words that are no words: letters drawn as they follow each other in the words of a text."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable

_ORDERS = (2, 3)  # letters that decide the next one: fewer give more new words, more give better ones
_EDGE = "\n"
SHORTEST, LONGEST = 4, 10


class Words:
    """A letter n-gram model (Shannon 1948) of the words given, its order drawn anew for each letter."""

    def __init__(self, known: Iterable[str]) -> None:
        self.known = {word for word in known if word.isalpha()}
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
            if SHORTEST <= len(word) <= LONGEST and not beginnings & self.known:
                return word
        return None

    def _draw(self, rng: random.Random) -> str:
        letters = start = _EDGE * max(_ORDERS)
        while letters == start or not (letters.endswith(_EDGE) or len(letters) > len(start) + LONGEST):
            context = letters[-rng.choice(_ORDERS) :]
            letters += rng.choice(self.next[context])
        return letters.strip(_EDGE)
