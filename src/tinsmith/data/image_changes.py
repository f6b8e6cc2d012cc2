"""Changes of images, as cameras and scanners cause them: rotation, light, contrast, blur, noise, compression.

A change is a table of kinds and amounts in the file of augmented examples. It gives the same pixels on machines
with the same Pillow and numpy:

    {"rotate": -3.2, "light": 0.84, "contrast": 1.1, "blur": 0.7, "noise": [6.1, 902341], "jpeg": 54}

rotate: degrees counter-clockwise; corners get the median of the edge. light, contrast: factors. blur: radius of
a Gaussian in pixels. noise: standard deviation of 255 levels, and seed. jpeg: quality. Kinds apply in this
order.
"""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tinsmith.errors import DataError, MissingExtraError
from tinsmith.system import reading

if TYPE_CHECKING:
    from PIL.Image import Image

Change = tuple[tuple[str, Any], ...]  # kinds with their amounts, in the order of KINDS

SHARE = 0.5  # of the images, for each kind
DEGREES, FACTOR = 5.0, 0.3  # largest rotation; largest distance of light and contrast from 1
BLUR, SHARPEST, SOFTEST = 160, 0.2, 2.0  # a blur's radius: side / BLUR at most, within these pixels
NOISE = 2.0, 14.0
QUALITY = 35, 90
# Allowed amounts in a row: types, least and most; noise has a deviation and a seed.
_ALLOWED: dict[str, list[tuple[Any, int, int]]] = {
    "rotate": [(int | float, -180, 180)],
    "light": [(int | float, 0, 10)],
    "contrast": [(int | float, 0, 10)],
    "blur": [(int | float, 0, 1000)],
    "noise": [(int | float, 0, 255), (int, 0, 1 << 31)],
    "jpeg": [(int, 1, 100)],
}
KINDS = tuple(_ALLOWED)


def draw(kinds: Sequence[str], size: tuple[int, int], rng: random.Random) -> Change:
    """At least one of these kinds, with amounts for an image of this size in pixels."""
    chosen = [kind for kind in kinds if rng.random() < SHARE] or [rng.choice(list(kinds))]
    most = min(max(min(size) / BLUR, 2 * SHARPEST), SOFTEST)
    amounts: dict[str, Any] = {
        "rotate": round(rng.uniform(-DEGREES, DEGREES), 2),
        "light": round(rng.uniform(1 - FACTOR, 1 + FACTOR), 3),
        "contrast": round(rng.uniform(1 - FACTOR, 1 + FACTOR), 3),
        "blur": round(rng.uniform(SHARPEST, most), 2),
        "noise": (round(rng.uniform(*NOISE), 2), rng.randrange(1 << 31)),
        "jpeg": rng.randint(*QUALITY),
    }
    return tuple((kind, amounts[kind]) for kind in KINDS if kind in chosen)


def checked(change: Any, place: str) -> Change:
    """A change from a row's table. Raises DataError for another value, and for an unknown kind or amount."""
    if not isinstance(change, dict):
        raise DataError(f'{place}: "change" must be an object, got {reading.kind(change)}')
    for kind, amount in change.items():
        if kind not in KINDS:
            raise DataError(f'{place}: unknown change "{kind}"; the changes are {", ".join(KINDS)}')
        if not _is_amount(kind, amount):
            raise DataError(f'{place}: the change "{kind}" can\'t be {amount!r}')
    return tuple(
        (kind, tuple(change[kind]) if kind == "noise" else change[kind]) for kind in KINDS if kind in change
    )


def _is_amount(kind: str, amount: Any) -> bool:
    values, allowed = amount if kind == "noise" else [amount], _ALLOWED[kind]
    if not isinstance(values, list | tuple) or len(values) != len(allowed):
        return False
    return all(
        isinstance(value, types) and not isinstance(value, bool) and low <= value <= high
        for value, (types, low, high) in zip(values, allowed, strict=True)
    )


def apply(image: Image, change: Change) -> Image:
    """The changed RGB image, of the same size."""
    for kind, amount in change:
        image = _changed(image, kind, amount)
    return image


def _changed(image: Image, kind: str, amount: Any) -> Image:
    from PIL import Image as pillow
    from PIL import ImageEnhance, ImageFilter

    match kind:
        case "rotate":
            return image.rotate(amount, pillow.Resampling.BICUBIC, fillcolor=_edge(image))
        case "light":
            return ImageEnhance.Brightness(image).enhance(amount)
        case "contrast":
            return ImageEnhance.Contrast(image).enhance(amount)
        case "blur":
            return image.filter(ImageFilter.GaussianBlur(amount))
        case "noise":
            return _noise(image, *amount)
    packed = io.BytesIO()
    image.save(packed, "JPEG", quality=amount)
    unpacked = pillow.open(packed)
    unpacked.load()
    return unpacked


def _edge(image: Image) -> tuple[int, ...]:
    """The median of the outermost pixels by channel."""
    w, h = image.size
    strips = ((0, 0, w, 1), (0, h - 1, w, h), (0, 0, 1, h), (w - 1, 0, w, h))
    found = []
    for channel in image.split():
        levels = sorted(level for strip in strips for level in channel.crop(strip).tobytes())
        found.append(levels[len(levels) // 2])
    return tuple(found)


def _noise(image: Image, deviation: float, seed: int) -> Image:
    try:
        import numpy as np
    except ImportError:
        raise MissingExtraError("numpy", "vision") from None
    from PIL import Image as pillow

    levels = np.asarray(image, np.float64)
    grain = np.random.default_rng(seed).standard_normal(levels.shape) * deviation
    return pillow.fromarray(np.clip(np.rint(levels + grain), 0, 255).astype(np.uint8))
