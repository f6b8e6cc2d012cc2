"""The positions of images in a prompt, and a language model's use of them."""

from __future__ import annotations

from typing import NamedTuple


class PromptTile(NamedTuple):
    """An image or a tile of one: `down` rows of `across` tokens, from position `first` of a prompt on."""

    first: int
    down: int
    across: int

    @property
    def end(self) -> int:
        return self.first + self.down * self.across


class Looks(NamedTuple):
    """The language model's use of an image's rows. graded: they have positions of time, row and column, and the
    text continues after the larger of the last two; together: they attend to each other."""

    graded: bool = False
    together: bool = False


ONE_BY_ONE = Looks()  # as tokens
