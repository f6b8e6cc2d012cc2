"""image: an image that can't be decoded to its end; and the search for nearly equal images.

A 64-bit difference hash (Krawetz, "Kind of Like That", 2013) proposes pairs: two hashes that differ in at most
three bits agree in one of their four 16-bit words. Small gray copies of both images decide, since the hash of a
flat or sparse image says little."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from tinsmith.data.images import ImageSource
from tinsmith.errors import DataError
from tinsmith.prepare.check import DROP, Check, Finding
from tinsmith.prepare.check.rows import Data

_ROW = 8  # bits of the hash per row, and its rows
_BITS, _WORDS, _WORD = 3, 4, 16  # bits that may differ; words of the hash, and their bits
_SIDE = 32  # pixels of the small copies
_MEAN, _MOST = 2.5, 16  # of 255 levels, the mean and the largest difference of near-duplicates


@dataclass(frozen=True)
class Sketch:
    """A distinct image and the rows that show it. hash: of 64 bits. small: levels of the gray copy."""

    digest: str
    rows: tuple[int, ...]
    hash: int
    small: bytes


class DamagedImage(Check):
    name, severity = "image", "error"
    title = "images that are cut off or damaged"
    advice = "get them again, or delete the rows"

    def find(self, data: Data) -> Iterator[Finding]:
        _, damaged = images(data)
        for row, message in damaged:
            yield self.at(data, row, message, DROP)


CHECKS = (DamagedImage(),)


@lru_cache(1)
def images(data: Data) -> tuple[list[Sketch], list[tuple[int, str]]]:
    """The distinct images; and rows, each with the fault of its damaged image."""
    rows: dict[str, list[int]] = defaultdict(list)
    known: dict[str, ImageSource] = {}
    for i, row in enumerate(data.rows):
        for image in row.example.images:
            known.setdefault(image.digest, image)
            rows[image.digest].append(i)
    sketches, damaged = [], []
    for digest, image in known.items():
        try:
            sketches.append(Sketch(digest, tuple(dict.fromkeys(rows[digest])), *_sketch(image)))
        except DataError as fault:
            damaged += [(i, str(fault)) for i in rows[digest]]
    return sketches, damaged


def _sketch(image: ImageSource) -> tuple[int, bytes]:
    """The hash, a bit for each of 8 x 8 pixels that is darker than its right neighbour; and the small copy."""
    from PIL.Image import Resampling

    gray = image.pixels().convert("L")
    levels = gray.resize((_ROW + 1, _ROW), Resampling.BOX).tobytes()
    starts = [y * (_ROW + 1) + x for y in range(_ROW) for x in range(_ROW)]
    bits = sum((levels[at] < levels[at + 1]) << place for place, at in enumerate(starts))
    return bits, gray.resize((_SIDE, _SIDE)).tobytes()


def near(sketches: list[Sketch]) -> Iterator[tuple[Sketch, Sketch]]:
    """Pairs of nearly equal images, each once, in order."""
    by_word: dict[tuple[int, int], list[int]] = defaultdict(list)
    for j, one in enumerate(sketches):
        words = [(k, one.hash >> k * _WORD & (1 << _WORD) - 1) for k in range(_WORDS)]
        for i in sorted({i for word in words for i in by_word[word]}):
            if (sketches[i].hash ^ one.hash).bit_count() <= _BITS and _alike(sketches[i].small, one.small):
                yield sketches[i], one
        for word in words:
            by_word[word].append(j)


def _alike(a: bytes, b: bytes) -> bool:
    differences = [abs(x - y) for x, y in zip(a, b, strict=True)]
    return max(differences) <= _MOST and sum(differences) <= _MEAN * len(differences)
