"""Where images stand in a prompt, and what a language model makes of them there."""

from __future__ import annotations

from typing import NamedTuple


class PromptTile(NamedTuple):
    """An image or a tile of one: `down` rows of `across` tokens, from place `first` of a prompt on."""

    first: int
    down: int
    across: int

    @property
    def end(self) -> int:
        return self.first + self.down * self.across


class Looks(NamedTuple):
    """Of an image's rows. graded: they stand at positions of time, row and column, and what follows them goes
    on behind the larger of the last two; together: they see each other."""

    graded: bool = False
    together: bool = False


ONE_BY_ONE = Looks()  # as tokens
