"""Image rules as tin.h's tin_pixels_rules, and the tiles and patches that they give."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tinsmith import _core
from tinsmith.errors import UnsupportedError
from tinsmith.spec import Vision
from tinsmith.vision.image_rules import FILTERS, Bounded, Natural, Square, Tiles
from tinsmith.vision.parts import View

_PLAIN, _IDEFICS3, _LFM2, _SMART = 1, 2, 3, 4  # TIN_TILING_*
_LAYOUT = "<d6f15If"
RULES_BYTES = struct.calcsize(_LAYOUT)
SCALE = 1 / 255  # from a byte to 0 … 1
_FIELDS = (
    *("tiling", "filter", "patch", "merge", "frames", "width", "height", "edge", "tile", "min_tiles"),
    *("max_tiles", "thumbnail", "factor", "min_pixels", "max_pixels"),
)


def rules(vision: Vision, most: int) -> bytes:
    """tin_pixels_rules. most: an image's patches, at most."""
    return _packed(vision, _tiling(vision, most))


def resized(vision: Vision, down: int, across: int) -> bytes:
    """tin_pixels_rules that resize any image to `down` by `across` patches."""
    patch = vision.sizes.patch
    return _packed(vision, {"tiling": _PLAIN, "width": across * patch, "height": down * patch})


def _packed(vision: Vision, tiling: Mapping[str, int]) -> bytes:
    rules = vision.image_rules
    number = next(number for number, name in FILTERS.items() if name == rules.filter)
    values = {"filter": number, "patch": vision.sizes.patch, "merge": 1, **tiling}
    numbers = [values.get(name, 0) for name in _FIELDS]
    tolerance = rules.tolerance if isinstance(rules, Natural) else 0.0
    return struct.pack(_LAYOUT, SCALE, *rules.mean, *rules.std, *numbers, tolerance)


def _tiling(vision: Vision, most: int) -> Mapping[str, int]:
    patch, rules = vision.sizes.patch, vision.image_rules
    factor = patch * vision.joint.merge
    if isinstance(rules, Square):
        return {"tiling": _PLAIN, "width": rules.edge, "height": rules.edge}
    if isinstance(rules, Tiles):
        tiles = 0 if rules.split else 1
        return {"tiling": _IDEFICS3, "edge": rules.longest, "tile": rules.edge, "max_tiles": tiles}
    if isinstance(rules, Natural):
        return {
            "tiling": _LFM2,
            "tile": rules.edge,
            "min_tiles": rules.min_tiles if rules.split else 1,
            "max_tiles": rules.max_tiles if rules.split else 1,
            "thumbnail": int(rules.thumbnail),
            "factor": factor,
            "min_pixels": rules.min_tokens * factor**2,
            "max_pixels": rules.max_tokens * factor**2,
        }
    if isinstance(rules, Bounded):
        largest = min(rules.max_pixels, most * patch**2)
        return {"tiling": _SMART, "factor": factor, "min_pixels": rules.min_pixels, "max_pixels": largest}
    raise UnsupportedError(f"image rule {type(rules).__name__} is not supported by this version")


@dataclass(frozen=True)
class Tile:
    """height by width patches. first: the number of its first patch among those of all tiles."""

    first: int
    height: int
    width: int


@dataclass(frozen=True)
class Cut:
    """An image's views, and all their tiles in order."""

    views: list[View]
    tiles: list[Tile]


def cut(vision: Vision, rule: bytes, width: int, height: int) -> Cut:
    """The views and tiles of an image of width by height pixels. Raises RuntimeFault for an extreme aspect
    ratio."""
    patch, merge = vision.sizes.patch, vision.joint.merge
    views, tiles, first = [], [], 0
    for wide, high, across, down in _core.pixels_plan(rule, width, height)[3]:
        rows, columns = high // down // patch, wide // across // patch
        views.append(View(across, down, rows * columns // merge**2))
        for _ in range(across * down):
            tiles.append(Tile(first, rows, columns))
            first += rows * columns
    return Cut(views, tiles)


def memory(rule: bytes, width: int, height: int) -> tuple[int, int, int, int]:
    """Of an image of width by height pixels: its tiles, patches of the largest tile, floats of all patches, and
    bytes of working memory. Raises RuntimeFault for an extreme aspect ratio."""
    (patch,) = struct.unpack_from("<I", rule, struct.calcsize("<d6f2I"))
    rows, columns, work, views = _core.pixels_plan(rule, width, height)
    tiles = sum(across * down for _, _, across, down in views)
    largest = max((high // down // patch) * (wide // across // patch) for wide, high, across, down in views)
    return tiles, largest, rows * columns, work


def patches(rule: bytes, rgb: bytes, width: int, height: int, size: int) -> Iterator[memoryview]:
    """The patches of all tiles as encoder inputs: `size` floats each, pixel by pixel."""
    floats = memoryview(_core.pixels(rule, rgb, 3 * width, width, height))
    for first in range(0, len(floats), 4 * size):
        yield floats[first : first + 4 * size]
