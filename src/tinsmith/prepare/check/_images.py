"""Images that show the same, or nearly: copies that were scaled, packed anew or made a little lighter.

A difference hash (Krawetz, "Kind of Like That", 2013) of 64 bits proposes pairs: those that agree in one of
four words of 16 bits, as any two must that differ in at most three bits. Small gray copies of both decide,
since of flat or sparse images the hash says little.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinsmith.errors import DataError
from tinsmith.prepare.check.rows import Data

if TYPE_CHECKING:
    from tinsmith.data.images import ImageSource

_ROW = 8  # bits of the hash in one row, of as many rows
_BITS, _WORDS, _WORD = 3, 4, 16  # that may differ; what the hash is cut in, and how wide
_SIDE = 32  # pixels of the small copies
_MEAN, _MOST = 2.5, 16  # of 255 levels, what these may differ by: on average, and in any pixel


@dataclass(frozen=True)
class Seen:
    """An image once, whatever rows show it. hash: of 64 bits; small: its gray copy's levels, _SIDE squared."""

    digest: str
    rows: tuple[int, ...]
    hash: int
    small: bytes


@dataclass(frozen=True)
class Looked:
    """damaged: rows with what is wrong with their images."""

    seen: list[Seen]
    damaged: list[tuple[int, str]]


def looked(data: Data) -> Looked:
    made: Looked = data.once("images", lambda: _looked(data))
    return made


def _looked(data: Data) -> Looked:
    rows: dict[str, list[int]] = defaultdict(list)
    known: dict[str, ImageSource] = {}
    for i, row in enumerate(data.rows):
        for image in row.example.images:
            known.setdefault(image.digest, image)
            rows[image.digest].append(i)
    seen, damaged = [], []
    for digest, image in known.items():
        try:
            seen.append(Seen(digest, tuple(dict.fromkeys(rows[digest])), *sketch(image)))
        except DataError as fault:
            damaged += [(i, str(fault)) for i in rows[digest]]
    return Looked(seen, damaged)


def sketch(image: ImageSource) -> tuple[int, bytes]:
    """The hash, bit by bit whether a pixel of 9 x 8 is lighter than its left neighbour; and the small copy."""
    from PIL.Image import Resampling

    gray = image.pixels().convert("L")
    levels = gray.resize((_ROW + 1, _ROW), Resampling.BOX).tobytes()
    bits = [
        levels[y * (_ROW + 1) + x] < levels[y * (_ROW + 1) + x + 1] for y in range(_ROW) for x in range(_ROW)
    ]
    return sum(bit << place for place, bit in enumerate(bits)), gray.resize((_SIDE, _SIDE)).tobytes()


def near(seen: list[Seen]) -> Iterator[tuple[Seen, Seen]]:
    """Pairs that are nearly the same, each once, in order."""
    held: dict[tuple[int, int], list[int]] = defaultdict(list)
    for j, one in enumerate(seen):
        words = [(k, one.hash >> k * _WORD & (1 << _WORD) - 1) for k in range(_WORDS)]
        for i in sorted({i for word in words for i in held[word]}):
            if (seen[i].hash ^ one.hash).bit_count() <= _BITS and _alike(seen[i].small, one.small):
                yield seen[i], one
        for word in words:
            held[word].append(j)


def _alike(a: bytes, b: bytes) -> bool:
    differences = [abs(x - y) for x, y in zip(a, b, strict=True)]
    return max(differences) <= _MOST and sum(differences) <= _MEAN * len(differences)
