"""Changes of images as cameras and scanners make them: turned, darker, out of focus, grainy, packed hard.

A change is data, a table of kinds and their amounts, so that a run's file of made examples says what each one
is, and the same table gives the same pixels on a machine with the same Pillow and numpy:

    {"rotate": -3.2, "light": 0.84, "contrast": 1.1, "blur": 0.7, "noise": [6.1, 902341], "jpeg": 54}

rotate: degrees, counter-clockwise, the corners filled with the median of the edge; light, contrast: factors;
blur: the radius of a Gaussian in pixels; noise: its standard deviation of 255 levels, and the seed; jpeg: the
quality that it is packed and unpacked with. They are done in this order, the one in which an image is taken.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tinsmith.errors import DataError, MissingExtraError

if TYPE_CHECKING:
    from PIL.Image import Image

KINDS = ("rotate", "light", "contrast", "blur", "noise", "jpeg")
Change = tuple[tuple[str, Any], ...]  # kinds with their amounts, in the order of KINDS

SHARE = 0.5  # of the images, that each kind is done to
DEGREES, FACTOR = 5.0, 0.3  # at most: of a turn, and of what light and contrast differ from 1 by
BLUR, SHARPEST, SOFTEST = 160, 0.2, 2.0  # a radius is at most a side's BLURth, and within these pixels
NOISE = 2.0, 14.0
QUALITY = 35, 90
# What a given amount may be.
_BOUNDS = {"rotate": (-180, 180), "light": (0, 10), "contrast": (0, 10), "blur": (0, 1000), "jpeg": (1, 100)}


def draw(kinds: Sequence[str], size: tuple[int, int], rng: random.Random) -> Change:
    """Some of these kinds, one at least, with amounts for an image of this size in pixels."""
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


def checked(change: Mapping[str, Any], place: str) -> Change:
    """Of a row's table. Raises DataError for what is none."""
    for kind, amount in change.items():
        if kind not in KINDS:
            raise DataError(f'{place}: unknown change "{kind}"; the changes are {", ".join(KINDS)}')
        if not _is_amount(kind, amount):
            raise DataError(f'{place}: the change "{kind}" can\'t be {amount!r}')
    return tuple(
        (kind, tuple(change[kind]) if kind == "noise" else change[kind]) for kind in KINDS if kind in change
    )


def _is_amount(kind: str, amount: Any) -> bool:
    if kind == "noise":
        return (
            isinstance(amount, list | tuple)
            and len(amount) == 2
            and _is_within(amount[0], 0, 255)
            and _is_whole(amount[1], 0, 1 << 31)
        )
    low, high = _BOUNDS[kind]
    return _is_whole(amount, low, high) if kind == "jpeg" else _is_within(amount, low, high)


def _is_within(value: Any, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _is_whole(value: Any, low: float, high: float) -> bool:
    return isinstance(value, int) and _is_within(value, low, high)


def apply(image: Image, change: Change) -> Image:
    """image: RGB; what comes back has its size."""
    done: dict[str, Callable[[Image, Any], Image]] = {
        "rotate": _rotate,
        "light": _light,
        "contrast": _contrast,
        "blur": _blur,
        "noise": _noise,
        "jpeg": _jpeg,
    }
    for kind, amount in change:
        image = done[kind](image, amount)
    return image


def _rotate(image: Image, degrees: float) -> Image:
    from PIL import Image as pillow

    return image.rotate(degrees, pillow.Resampling.BICUBIC, fillcolor=_edge(image))


def _edge(image: Image) -> tuple[int, ...]:
    """By channel, the median of the outermost pixels."""
    w, h = image.size
    strips = ((0, 0, w, 1), (0, h - 1, w, h), (0, 0, 1, h), (w - 1, 0, w, h))
    found = []
    for channel in image.split():
        levels = sorted(level for strip in strips for level in channel.crop(strip).tobytes())
        found.append(levels[len(levels) // 2])
    return tuple(found)


def _light(image: Image, factor: float) -> Image:
    from PIL import ImageEnhance

    return ImageEnhance.Brightness(image).enhance(factor)


def _contrast(image: Image, factor: float) -> Image:
    from PIL import ImageEnhance

    return ImageEnhance.Contrast(image).enhance(factor)


def _blur(image: Image, radius: float) -> Image:
    from PIL import ImageFilter

    return image.filter(ImageFilter.GaussianBlur(radius))


def _noise(image: Image, amount: tuple[float, int]) -> Image:
    try:
        import numpy as np
    except ImportError:
        raise MissingExtraError("numpy", "vision") from None
    from PIL import Image as pillow

    deviation, seed = amount
    levels = np.asarray(image, np.float64)
    grain = np.random.default_rng(seed).standard_normal(levels.shape) * deviation
    return pillow.fromarray(np.clip(np.rint(levels + grain), 0, 255).astype(np.uint8))


def _jpeg(image: Image, quality: int) -> Image:
    from PIL import Image as pillow

    packed = io.BytesIO()
    image.save(packed, "JPEG", quality=quality)
    unpacked = pillow.open(packed)
    unpacked.load()
    return unpacked
