"""The weight formats of kernels/formats.def, as the compiled core lists them."""

from __future__ import annotations

from typing import NamedTuple

from tinsmith import _core
from tinsmith.errors import UnsupportedError
from tinsmith.spec import Buffer, Tensor


class WeightFormat(NamedTuple):
    """number: the core's; gguf: GGUF's type number, or that of `in_gguf`; block: inputs a block, bytes: of such
    a block; activations: what a matmul reads beside the weights, "f32" or "q8"."""

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


_OF_GGUF = {kind.gguf: name for name, kind in reversed(WEIGHT_FORMATS.items())}


def in_gguf(name: str) -> str:
    """The format that a GGUF file holds these weights in: the same, but for a format of tins alone."""
    return _OF_GGUF[weight_format(name).gguf]


def restated(data: Buffer, format: str, to: str) -> Buffer:
    """Blocks as those of another format that hold the same weights."""
    if format == to:
        return data
    kind = weight_format(format)
    return _core.restate(to, format, data, 1, memoryview(data).nbytes // kind.bytes * kind.block)


def in_format(tensor: Tensor, format: str) -> Tensor:
    """The same weights, as a tensor of another format that can hold them."""
    return Tensor(format, tensor.rows, tensor.inputs, restated(tensor.data, tensor.format, format))


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
