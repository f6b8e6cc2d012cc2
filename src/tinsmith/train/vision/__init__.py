"""The vision model in torch. Here: where images lie in a prompt, and how a language model attends to them."""

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


class ImageAttention(NamedTuple):
    """How a language model treats image tokens. graded: their positions have time, row and column, and the next
    token's position follows the larger of the last two; together: they attend to each other."""

    graded: bool = False
    together: bool = False


CAUSAL = ImageAttention()  # as tokens
