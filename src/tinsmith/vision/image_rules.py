"""The rules by which images are resized and cut, one a kind of image processor. An image's values are
divided by 255, less the mean, divided by std; every rule does that after it has cut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tinsmith import _core
from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.fields import Fields
from tinsmith.spec import ImageRules

# Of an image, in kernels/core/vm/program.h: TINI_MAX_CHUNK.
MOST_PATCHES = _core.MAX_CHUNK
PROCESSOR = "preprocessor_config.json"
# Pillow's numbers of its filters.
FILTERS = {1: "lanczos", 2: "bilinear", 3: "bicubic"}
_NUMBERS = {name: number for number, name in FILTERS.items()}


@dataclass(frozen=True)
class Square(ImageRules):
    """Gemma 3's: the whole image is resized to `edge` by `edge` pixels, whatever its shape."""

    edge: int

    def patches(self, patch: int, merge: int) -> int:
        return (self.edge // patch) ** 2


@dataclass(frozen=True)
class Tiles(ImageRules):
    """Idefics3's: the longer edge is made `longest` pixels, both edges are rounded up to whole tiles of `edge`
    pixels a side, and the image is cut into these; after them comes the whole image as one tile. Where it
    is one tile anyway, or `split` is False, the whole image is all there is."""

    edge: int
    longest: int
    split: bool

    def patches(self, patch: int, merge: int) -> int:
        return (self.edge // patch) ** 2


@dataclass(frozen=True)
class Natural(ImageRules):
    """LFM2-VL's: an image is resized, about as it is shaped, to between min_tokens and max_tokens tokens.
    Where it has more than `tolerance` times as many pixels as max_tokens take and `split` is set, it is
    resized to a grid of min_tiles to max_tiles tiles of `edge` pixels a side, the one nearest its shape, and
    cut into them; with `thumbnail` set, the whole image follows as it would be alone."""

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
    """Qwen's: both edges are rounded to whole tokens, and the image is made larger or smaller, about as it is
    shaped, until it has between min_pixels and max_pixels."""

    min_pixels: int
    max_pixels: int

    def patches(self, patch: int, merge: int) -> int:
        """What the runtime takes at once bounds them too."""
        return min(self.max_pixels // (patch * merge) ** 2, MOST_PATCHES // merge**2) * merge**2


def common_from_hf(processor: Fields, filter: str) -> dict[str, Any]:
    """What all processors say: filter, mean and std. filter: of the processor's class, for a file without."""
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
    """Three numbers: of red, green and blue."""
    given = fields.get(key)
    if not isinstance(given, list) or len(given) != 3 or not all(isinstance(x, (int, float)) for x in given):
        raise FormatError(f"{fields.named(key)}; it must be three numbers")
    return (float(given[0]), float(given[1]), float(given[2]))
