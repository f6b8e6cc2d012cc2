"""Prompts with images among their tokens, as sessions take them.

In a list of tokens, each row of a tile is a negative number, equal only for the same row of an equal tile.
Thus prompts with images compare like any lists of tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from tinsmith import _core
from tinsmith.checks import token_ids
from tinsmith.errors import InputError

_ROWS = 1 << 32  # more than a tile has


@dataclass
class Tile:
    count: int  # rows
    columns: int  # of rows side by side
    digest: bytes  # 32 bytes that identify it
    make: Callable[[], bytes]  # the rows as float32 bytes; called when a session needs them

    @cached_property
    def rows(self) -> bytes:
        return self.make()

    @property
    def keys(self) -> list[int]:
        return _keys(self.count, self.columns, self.digest)


def _keys(count: int, columns: int, digest: bytes) -> list[int]:
    """The numbers that stand for the rows in a list of tokens."""
    head = int.from_bytes(digest, "big") << 64 | count << 32 | columns
    return [-(head * _ROWS + row) - 2 for row in range(count)]


class ImagePrompt(list[int]):
    """A prompt's tokens with images among them. tiles: each with its position."""

    def __init__(self, parts: Iterable[int | Tile]) -> None:
        super().__init__()
        self.tiles: list[tuple[int, Tile]] = []
        for part in parts:
            if isinstance(part, Tile):
                self.tiles.append((len(self), part))
                self += part.keys
            else:
                self.append(part)

    @property
    def ids(self) -> list[int]:
        """The tokens as the core numbers them."""
        return [max(token, _core.EMBEDDED) for token in self]

    def first(self, length: int) -> ImagePrompt:
        """The first tokens, without a tile that `length` would cut."""
        known = dict(self.tiles)
        parts: list[int | Tile] = []
        at = 0
        while at < min(length, len(self)):
            tile = known.get(at)
            if tile is not None and at + tile.count > length:
                break
            parts.append(self[at] if tile is None else tile)
            at += 1 if tile is None else tile.count
        return ImagePrompt(parts)


def later(prompt: ImagePrompt, again: Callable[[], Any]) -> None:
    """Frees the images' pixels: when a session needs rows, `again` makes the prompt anew. Raises InputError
    then if that is another prompt."""

    def make(number: int) -> bytes:
        anew = again()
        if anew != prompt:
            raise InputError("an image changed after it was first read; ask again")
        for (_, tile), (_, fresh) in zip(prompt.tiles, anew.tiles, strict=True):
            tile.rows = rows = fresh.rows
            tile.make = partial(bytes, rows)  # releases the prompt, which has the tile
        return prompt.tiles[number][1].rows

    for number, (_, tile) in enumerate(prompt.tiles):
        tile.make = partial(make, number)


def checked(prompt: Iterable[Any], vocab: int) -> list[int]:
    """As token_ids; an ImagePrompt stays as it is."""
    return prompt if isinstance(prompt, ImagePrompt) else token_ids(prompt, vocab)


def shared(ours: Sequence[int], theirs: Sequence[int]) -> int:
    """How many tokens both begin with."""
    count = min(len(ours), len(theirs))
    if not count or ours[0] != theirs[0]:
        return 0
    if ours[:count] == theirs[:count]:  # fast, and never true of a tuple and a list
        return count
    return next((k for k in range(count) if ours[k] != theirs[k]), count)


def rows_in(prompt: Sequence[int]) -> int:
    """Number of its positions that are tiles'."""
    return sum(tile.count for _, tile in prompt.tiles) if isinstance(prompt, ImagePrompt) else 0


def begin(session: _core.Session, prompt: Sequence[int], length: int | None = None) -> None:
    """Gives the session the prompt, or its first tokens; makes only the rows that it lacks."""
    if not isinstance(prompt, ImagePrompt):
        session.replace(prompt if length is None else prompt[:length])
        return
    part = prompt if length is None else prompt.first(length)
    ids = part.ids
    plain = [(at, tile.count, tile.columns, tile.digest, None) for at, tile in part.tiles]
    same = session.shared(ids, plain)
    given = [
        one if at < same else (*one[:4], tile.rows) for one, (at, tile) in zip(plain, part.tiles, strict=True)
    ]
    session.replace(ids, given)


def session_tokens(session: _core.Session) -> tuple[int, list[int]]:
    """The number of a session's computed tokens, and all its tokens, comparable with a prompt's."""
    computed, tokens = session.tokens()
    for at, count, columns, digest in session.tiles():
        tokens[at : at + count] = _keys(count, columns, digest)
    return computed, tokens
