"""SigLIP 2's vision transformer in the NaFlex form (Tschannen et al. 2025): SigLIP's, over patches of images
of any shape, to which the table of positions is resized (bilinear, with antialias)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isqrt
from typing import Any, ClassVar

from tinsmith.errors import FormatError
from tinsmith.fields import Fields
from tinsmith.spec import EncoderSizes
from tinsmith.tensor_names import TensorName
from tinsmith.vision.siglip import Siglip, by_channel, by_pixel


class Siglip2(Siglip):
    name: ClassVar[str] = "siglip2"
    grid: ClassVar[str] = "smooth"
    defaults: ClassVar[Mapping[str, Any]] = {**Siglip.defaults, "num_patches": 256}

    def side_from_hf(self, fields: Fields, patch: int) -> int:
        return square_side(fields, "num_patches")

    def side_to_hf(self, sizes: EncoderSizes) -> dict[str, Any]:
        return {"num_patches": sizes.side**2}

    def patch(self, sizes: EncoderSizes) -> TensorName:
        """A folder's inputs are one pixel after the other, of each the channels."""
        inputs = 3 * sizes.patch**2
        name = replace(super().patch(sizes), hf_shape=(sizes.dim, inputs))
        return replace(name, from_hf=by_channel, to_hf=by_pixel)


def square_side(fields: Fields, key: str) -> int:
    """The side of a square table of so many positions."""
    count = fields.count(key)
    if isqrt(count) ** 2 != count:
        raise FormatError(f"{fields.named(key)}; it must be a square")
    return isqrt(count)


encoder = Siglip2()
