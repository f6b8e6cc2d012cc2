"""The order of a patch's pixels: the runtime's towers take them as pictures have them, [row][column][channel]."""

from __future__ import annotations

from array import array

from tinsmith.errors import UnsupportedError
from tinsmith.spec import Tensor

_WORDS = {"F32": "I", "F16": "H", "BF16": "H"}


def by_pixel(weight: Tensor, channels: int = 3) -> Tensor:
    """A convolution's weight of rows [channel][row][column] as one of rows [row][column][channel]."""
    if weight.format not in _WORDS:
        raise UnsupportedError(
            f"the patch embedding is {weight.format}; it must be of {', '.join(_WORDS)}: take another file"
        )
    values = array(_WORDS[weight.format], bytes(weight.data))
    each = weight.inputs // channels
    for row in range(0, len(values), weight.inputs):
        old = values[row : row + weight.inputs]
        for channel in range(channels):
            values[row + channel : row + weight.inputs : channels] = old[channel * each : (channel + 1) * each]
    return Tensor(weight.format, weight.rows, weight.inputs, values.tobytes())
