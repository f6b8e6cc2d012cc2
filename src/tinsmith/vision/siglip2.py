"""SigLIP 2's vision transformer, NaFlex variant (Tschannen et al. 2025): SigLIP's, for images of any shape. The
position table is resized to the image (bilinear, with antialias)."""

from __future__ import annotations

from dataclasses import replace
from math import isqrt
from typing import Any

from tinsmith.errors import FormatError
from tinsmith.fields import Fields
from tinsmith.spec import EncoderSizes
from tinsmith.tensor_names import TensorName
from tinsmith.vision.siglip import Siglip, by_channel, by_pixel


class Siglip2(Siglip):
    name = "siglip2"
    grid = "smooth"
    defaults = {**Siglip.defaults, "num_patches": 256}

    def side_from_hf(self, fields: Fields) -> int:
        return square_side(fields, "num_patches")

    def side_to_hf(self, sizes: EncoderSizes) -> dict[str, Any]:
        return {"num_patches": sizes.side**2}

    def patch(self, sizes: EncoderSizes) -> TensorName:
        """A checkpoint's inputs are [row][column][channel]."""
        inputs = 3 * sizes.patch**2
        name = replace(super().patch(sizes), hf_shape=(sizes.dim, inputs))
        return replace(name, from_hf=by_channel, to_hf=by_pixel)


def square_side(fields: Fields, key: str) -> int:
    """The side of the square position table whose size the key states."""
    count = fields.count(key)
    if isqrt(count) ** 2 != count:
        raise FormatError(f"{fields.named(key)}; it must be a square")
    return isqrt(count)


encoder = Siglip2()
