"""A contact sheet of images, each scaled to fit its cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tinsmith.data.images import ImageSource

if TYPE_CHECKING:
    from PIL.Image import Image

CELL, GAP = 160, 8  # pixels
_LARGEST = 4  # scale of a small image, at most
_GROUND = (128, 128, 128)


def sheet(rows: Sequence[Sequence[ImageSource]]) -> Image:
    """An RGB image with as many columns as the longest row."""
    from PIL import Image

    step = CELL + GAP
    whole = Image.new("RGB", (GAP + step * max(map(len, rows)), GAP + step * len(rows)), _GROUND)
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            shown = image.pixels()
            scale = min(CELL / shown.width, CELL / shown.height, _LARGEST)
            shown = shown.resize((max(1, round(shown.width * scale)), max(1, round(shown.height * scale))))
            left, top = (CELL - shown.width) // 2, (CELL - shown.height) // 2
            whole.paste(shown, (GAP + x * step + left, GAP + y * step + top))
    return whole
