"""What makes an image's patches of image rules: tin_pixels_rules of tin.h, and what comes of them."""

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
SCALE = 1 / 255  # of a byte, before mean and deviation
_FIELDS = (
    *("tiling", "filter", "patch", "merge", "frames", "width", "height", "edge", "tile", "min_tiles"),
    *("max_tiles", "thumbnail", "factor", "min_pixels", "max_pixels"),
)


def rules(vision: Vision, most: int) -> bytes:
    """tin_pixels_rules. most: patches of an image."""
    return _packed(vision, _tiling(vision, most))


def resized(vision: Vision, down: int, across: int) -> bytes:
    """tin_pixels_rules by which any image becomes one image of so many patches."""
    patch = vision.sizes.patch
    return _packed(vision, {"tiling": _PLAIN, "width": across * patch, "height": down * patch})


def _packed(vision: Vision, tiling: Mapping[str, int]) -> bytes:
    rules = vision.image_rules
    number = next(number for number, name in FILTERS.items() if name == rules.filter)
    told = {"filter": number, "patch": vision.sizes.patch, "merge": 1, "frames": 0, **tiling}
    numbers = [told.get(name, 0) for name in _FIELDS]
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
        return {
            "tiling": _SMART,
            "factor": factor,
            "min_pixels": rules.min_pixels,
            "max_pixels": largest,
        }
    raise UnsupportedError(f"images by {type(rules).__name__} are not cut by this version")


@dataclass(frozen=True)
class Tile:
    """height by width patches, the first of all tiles' being `first`."""

    first: int
    height: int
    width: int


@dataclass(frozen=True)
class Cut:
    """How an image is cut: its views, and all their tiles in order."""

    views: list[View]
    tiles: list[Tile]


def cut(vision: Vision, rule: bytes, width: int, height: int) -> Cut:
    """Of an image of so many pixels. Raises RuntimeFault for one that is too long and narrow."""
    patch, merge = vision.sizes.patch, vision.joint.merge
    views, tiles, first = [], [], 0
    for wide, high, across, down in _core.pixels_plan(rule, width, height)[3]:
        tile = (high // down // patch, wide // across // patch)
        views.append(View(across, down, tile[0] * tile[1] // merge**2))
        for _ in range(across * down):
            tiles.append(Tile(first, *tile))
            first += tile[0] * tile[1]
    return Cut(views, tiles)


@dataclass(frozen=True)
class Taken:
    """Of an image: its tiles, patches of the largest, floats of all patches, and bytes to make them in."""

    tiles: int
    largest: int
    floats: int
    work: int


def taken(rule: bytes, width: int, height: int) -> Taken:
    """By an image of so many pixels. Raises RuntimeFault for one that is too long and narrow."""
    (patch,) = struct.unpack_from("<I", rule, struct.calcsize("<d6f2I"))
    rows, columns, work, views = _core.pixels_plan(rule, width, height)
    tiles = sum(across * down for _, _, across, down in views)
    largest = max((high // down // patch) * (wide // across // patch) for wide, high, across, down in views)
    return Taken(tiles, largest, rows * columns, work)


def patches(rule: bytes, rgb: bytes, width: int, height: int, size: int) -> Iterator[memoryview]:
    """Each patch of all tiles as the encoder takes it: `size` floats, pixel by pixel."""
    made = memoryview(_core.pixels(rule, rgb, 3 * width, width, height))
    for first in range(0, len(made), 4 * size):
        yield made[first : first + 4 * size]
