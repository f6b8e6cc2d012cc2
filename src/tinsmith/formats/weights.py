"""The weight formats of kernels/formats.def, as the compiled core lists them."""

from __future__ import annotations

from typing import NamedTuple

from tinsmith import _core
from tinsmith.errors import UnsupportedError
from tinsmith.spec import Tensor


class WeightFormat(NamedTuple):
    """number: the core's; gguf: GGUF's type number; block: inputs a block, bytes: of such a block;
    activations: what a matmul reads beside the weights, "f32" or "q8"."""

    number: int
    gguf: int
    block: int
    bytes: int
    activations: str


WEIGHT_FORMATS: dict[str, WeightFormat] = {name: WeightFormat(*row) for name, row in _core.FORMATS.items()}


def weight_format(name: str) -> WeightFormat:
    if name not in WEIGHT_FORMATS:
        raise UnsupportedError(f"weight format {name!r} is not known; known: {', '.join(WEIGHT_FORMATS)}")
    return WEIGHT_FORMATS[name]


def packed_bytes(name: str, rows: int, inputs: int) -> int:
    """Bytes of a tensor in weights.bin: a matrix as whole tiles of 16 rows, a vector plain."""
    kind = weight_format(name)
    stored = 1 if rows == 1 else -(-rows // _core.TILE) * _core.TILE
    return stored * (inputs // kind.block) * kind.bytes


def to_float32(tensor: Tensor) -> Tensor:
    """Exact; for small matrices that nothing may round."""
    if tensor.format == "F32":
        return tensor
    data = _core.dequantize(tensor.format, tensor.data, tensor.rows, tensor.inputs)
    return Tensor("F32", tensor.rows, tensor.inputs, data)
