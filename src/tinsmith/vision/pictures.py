"""The rules by which pictures are cut and resized, one a kind of image processor, and their words in
preprocessor_config.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.fields import Fields
from tinsmith.spec import Pictures

PROCESSOR = "preprocessor_config.json"
# Pillow's numbers of its filters.
FILTERS = {1: "lanczos", 2: "bilinear", 3: "bicubic"}


@dataclass(frozen=True)
class Tiles(Pictures):
    """Idefics3's: the longer edge is made `longest` pixels, both edges are rounded up to whole tiles of `tile`
    pixels a side, and the picture is cut into these; after them comes the whole picture as one tile. Where it
    is one tile anyway, or `split` is False, the whole picture is all there is."""

    longest: int
    tile: int
    split: bool


def common(processor: Fields) -> dict[str, Any]:
    """What all processors say: filter, mean and std. Values are divided by 255 before."""
    processor.refuse("do_resize", True)
    processor.refuse("do_rescale", True)
    processor.refuse("do_normalize", True)
    processor.refuse("do_convert_rgb", True)
    if abs(processor.real("rescale_factor", 1 / 255) * 255 - 1) > 1e-6:
        raise UnsupportedError(f"{processor.named('rescale_factor')}; only 1/255 is supported")
    given = processor.get("resample")
    if given not in FILTERS:
        known = ", ".join(f"{number} ({name})" for number, name in FILTERS.items())
        raise UnsupportedError(f"{processor.named('resample')}, which is not supported; supported: {known}")
    return {
        "filter": FILTERS[given],
        "mean": _three(processor, "image_mean"),
        "std": _three(processor, "image_std"),
    }


def edge(processor: Fields, key: str, part: str) -> int:
    """One number of a table such as size = {"longest_edge": 1536}."""
    table = processor.get(key)
    if not isinstance(table, Mapping):
        raise FormatError(f"{processor.named(key)}; it must be a table with {part}")
    return Fields(table, processor.where, "").count(part)


def _three(processor: Fields, key: str) -> tuple[float, float, float]:
    given = processor.get(key)
    if not isinstance(given, list) or len(given) != 3 or not all(isinstance(x, (int, float)) for x in given):
        raise FormatError(f"{processor.named(key)}; it must be three numbers")
    return (float(given[0]), float(given[1]), float(given[2]))
