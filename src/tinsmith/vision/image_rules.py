"""The rules to resize and tile images, one for each kind of image processor. After tiling, every rule
normalizes: a value is divided by 255, less the mean, divided by std."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tinsmith import _core
from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.fields import Fields
from tinsmith.spec import ImageRules

PROCESSOR = "preprocessor_config.json"
# Pillow's numbers of its filters.
FILTERS = {1: "lanczos", 2: "bilinear", 3: "bicubic"}
_NUMBERS = {name: number for number, name in FILTERS.items()}


@dataclass(frozen=True)
class Square(ImageRules):
    """Gemma 3's: the image is resized to `edge` by `edge` pixels, whatever its shape."""

    edge: int

    def patches(self, patch: int, merge: int) -> int:
        return (self.edge // patch) ** 2


@dataclass(frozen=True)
class Tiles(ImageRules):
    """Idefics3's: the longer edge is resized to `longest` pixels, both edges are rounded up to whole tiles of
    `edge` pixels a side, and the image is cut into tiles, followed by the whole image as one tile. An image of
    one tile, or any with `split` False, is the whole image alone."""

    edge: int
    longest: int
    split: bool

    def patches(self, patch: int, merge: int) -> int:
        return (self.edge // patch) ** 2


@dataclass(frozen=True)
class Natural(ImageRules):
    """LFM2-VL's: an image is resized to between min_tokens and max_tokens tokens, near its aspect ratio.
    With `split`, an image of more than `tolerance` times the pixels of max_tokens is resized to the grid of
    min_tiles to max_tiles tiles, `edge` pixels a side, nearest its aspect ratio, and cut into tiles. With
    `thumbnail`, the whole image follows as it would be alone."""

    edge: int
    split: bool
    thumbnail: bool
    min_tiles: int
    max_tiles: int
    min_tokens: int
    max_tokens: int
    tolerance: float

    def patches(self, patch: int, merge: int) -> int:
        return max((self.edge // patch) ** 2, self.max_tokens * merge**2)


@dataclass(frozen=True)
class Bounded(ImageRules):
    """Qwen's: both edges are rounded to whole tokens, and the image is scaled, near its aspect ratio, to
    between min_pixels and max_pixels."""

    min_pixels: int
    max_pixels: int

    def patches(self, patch: int, merge: int) -> int:
        """The runtime's largest chunk bounds them, too."""
        return min(self.max_pixels // (patch * merge) ** 2, _core.MAX_CHUNK // merge**2) * merge**2


def common_from_hf(processor: Fields, filter: str) -> dict[str, Any]:
    """The fields of all processors: filter, mean and std. filter: the default of the processor's class."""
    for key in ("do_resize", "do_rescale", "do_normalize", "do_convert_rgb"):
        processor.refuse(key, True)
    if abs(processor.real("rescale_factor", 1 / 255) * 255 - 1) > 1e-6:
        raise UnsupportedError(f"{processor.named('rescale_factor')}, which is not supported; supported: 1/255")
    given = processor.get("resample", _NUMBERS[filter])
    if given not in FILTERS:
        known = ", ".join(f"{number} ({name})" for number, name in FILTERS.items())
        raise UnsupportedError(f"{processor.named('resample')}, which is not supported; supported: {known}")
    mean, std = three(processor, "image_mean"), three(processor, "image_std")
    return {"filter": FILTERS[given], "mean": mean, "std": std}


def common_to_hf(images: ImageRules) -> dict[str, Any]:
    """The inverse of common_from_hf."""
    return {
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": list(images.mean),
        "image_std": list(images.std),
        "resample": _NUMBERS[images.filter],
        "rescale_factor": 1 / 255,
    }


def within(processor: Fields, key: str) -> Fields:
    """The table under a key, such as size = {"longest_edge": 1536}."""
    table = processor.get(key)
    if not isinstance(table, Mapping):
        raise FormatError(f"{processor.named(key)}; it must be a table")
    return Fields(table, f"{processor.where}: {key}")


def three(fields: Fields, key: str) -> tuple[float, float, float]:
    """Three numbers, for red, green and blue."""
    red, green, blue = fields.items(key, "numbers", lambda one: isinstance(one, (int, float)), 3)
    return float(red), float(green), float(blue)
