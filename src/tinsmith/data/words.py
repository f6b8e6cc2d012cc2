"""Words that are no words: letters drawn as they follow each other in the words of a text."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable

_ORDER = 3  # letters that decide the next one
_EDGE = "\n"
SHORTEST, LONGEST = 4, 10


class Words:
    """A letter n-gram model (Shannon 1948) of the words given."""

    def __init__(self, known: Iterable[str]) -> None:
        self.known = {word for word in known if word.isalpha()}
        self.next: dict[str, list[str]] = defaultdict(list)
        for word in sorted(self.known):
            letters = _EDGE * _ORDER + word + _EDGE
            for i in range(_ORDER, len(letters)):
                self.next[letters[i - _ORDER : i]].append(letters[i])

    def draw(self, rng: random.Random) -> str | None:
        """A word of the usual length that is none of those known; None where they are too few to make one."""
        for _ in range(50 if self.next else 0):
            word = self._draw(rng)
            if SHORTEST <= len(word) <= LONGEST and word not in self.known:
                return word
        return None

    def _draw(self, rng: random.Random) -> str:
        letters = _EDGE * _ORDER
        while not letters.endswith(_EDGE, _ORDER) and len(letters) <= _ORDER + LONGEST:
            letters += rng.choice(self.next[letters[-_ORDER:]])
        return letters.strip(_EDGE)
