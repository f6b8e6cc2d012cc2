"""Prompts with images among their tokens, as sessions take them.

In a list of tokens, each row of an image has a number of its own: below any token, and the same for the same
row of the same image alone. So lists with images are compared as any others are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from tinsmith import _core
from tinsmith.checks import token_ids
from tinsmith.errors import InputError

_ROWS = 1 << 32  # more than an image has


@dataclass
class Image:
    """count rows, columns side by side; digest: 32 bytes that say which. make: the rows, float32 bytes, made
    where a session needs them."""

    count: int
    columns: int
    digest: bytes
    make: Callable[[], bytes]

    @cached_property
    def rows(self) -> bytes:
        return self.make()

    @property
    def keys(self) -> list[int]:
        return _keys(self.count, self.columns, self.digest)


def _keys(count: int, columns: int, digest: bytes) -> list[int]:
    """A list's numbers of the rows."""
    head = int.from_bytes(digest, "big") << 64 | count << 32 | columns
    return [-(head * _ROWS + row) - 2 for row in range(count)]


class Pictured(list[int]):
    """A prompt's tokens with images among them. images: each, and its place."""

    def __init__(self, parts: Iterable[int | Image]) -> None:
        super().__init__()
        self.images: list[tuple[int, Image]] = []
        for part in parts:
            if isinstance(part, Image):
                self.images.append((len(self), part))
                self += part.keys
            else:
                self.append(part)

    @property
    def ids(self) -> list[int]:
        """As the core has them."""
        return [max(token, _core.EMBEDDED) for token in self]

    def first(self, length: int) -> Pictured:
        """The first tokens, without an image of which that is a part."""
        known = {at: image for at, image in self.images}
        parts: list[int | Image] = []
        at = 0
        while at < min(length, len(self)):
            image = known.get(at)
            if image is not None and at + image.count > length:
                break
            parts.append(self[at] if image is None else image)
            at += 1 if image is None else image.count
        return Pictured(parts)


def later(prompt: Pictured, again: Callable[[], Any]) -> None:
    """Lets go of the pictures' pixels, which rows are made from: `again` gives the prompt anew where a session
    needs rows. Raises InputError then where that is another one."""

    def make(number: int) -> bytes:
        anew = again()
        if anew != prompt:
            raise InputError("a picture is another than when it was first read; ask again")
        for (_, image), (_, fresh) in zip(prompt.images, anew.images, strict=True):
            image.rows = rows = fresh.rows
            image.make = partial(bytes, rows)  # and no more by the prompt, which has the image
        return prompt.images[number][1].rows

    for number, (_, image) in enumerate(prompt.images):
        image.make = partial(make, number)


def checked(prompt: Iterable[Any], vocab: int) -> list[int]:
    """As token_ids; one with images stays as it is."""
    return prompt if isinstance(prompt, Pictured) else token_ids(prompt, vocab)


def rows_in(prompt: Sequence[int]) -> int:
    """How many of its positions are images'."""
    return sum(image.count for _, image in prompt.images) if isinstance(prompt, Pictured) else 0


def begin(session: _core.Session, prompt: Sequence[int], length: int | None = None) -> None:
    """Makes the prompt, or its first tokens, the session's; only the rows that it lacks are made."""
    if not isinstance(prompt, Pictured):
        session.replace(prompt if length is None else prompt[:length])
        return
    part = prompt if length is None else prompt.first(length)
    ids = part.ids
    plain = [(at, image.count, image.columns, image.digest, None) for at, image in part.images]
    same = session.shared(ids, plain)
    given = [
        one if at < same else (*one[:4], image.rows)
        for one, (at, image) in zip(plain, part.images, strict=True)
    ]
    session.replace(ids, given)


def held(session: _core.Session) -> tuple[int, list[int]]:
    """How many of a session's tokens are computed, and all of them, as a list that can be compared."""
    computed, tokens = session.tokens()
    for at, count, columns, digest in session.images():
        tokens[at : at + count] = _keys(count, columns, digest)
    return computed, tokens
