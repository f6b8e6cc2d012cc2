"""The weight formats of kernels/formats.def, as the compiled core lists them."""

from __future__ import annotations

from typing import NamedTuple

from tinsmith import _core
from tinsmith.errors import UnsupportedError
from tinsmith.spec import Buffer, Tensor


class WeightFormat(NamedTuple):
    """number: the core's. gguf: GGUF's number of the type `in_gguf`. block: inputs per block. bytes: per block.
    activations: type of a matmul's other operand, "f32" or "q8"."""

    number: int
    gguf: int
    block: int
    bytes: int
    activations: str

    @property
    def bits(self) -> float:
        """Of a weight."""
        return 8 * self.bytes / self.block

    def size(self, count: int) -> int:
        """Bytes of `count` weights in whole blocks."""
        return count // self.block * self.bytes


WEIGHT_FORMATS: dict[str, WeightFormat] = {name: WeightFormat(*row) for name, row in _core.FORMATS.items()}


def weight_format(name: str) -> WeightFormat:
    if name not in WEIGHT_FORMATS:
        raise UnsupportedError(f"weight format {name!r} is not known; known: {', '.join(WEIGHT_FORMATS)}")
    return WEIGHT_FORMATS[name]


_OF_GGUF = {kind.gguf: name for name, kind in reversed(WEIGHT_FORMATS.items())}


def in_gguf(name: str) -> str:
    """The format of these weights in a GGUF file: another one only for formats of tins alone."""
    return _OF_GGUF[weight_format(name).gguf]


def restated(data: Buffer, format: str, to: str) -> Buffer:
    """The same weights in blocks of another format."""
    if format == to:
        return data
    kind = weight_format(format)
    return _core.restate(to, format, data, 1, memoryview(data).nbytes // kind.bytes * kind.block)


def in_format(tensor: Tensor, format: str) -> Tensor:
    """The same weights in another format that can represent them."""
    return Tensor(format, tensor.rows, tensor.inputs, restated(tensor.data, tensor.format, format))


def packed_bytes(name: str, rows: int, inputs: int) -> int:
    """Bytes of a tensor in weights.bin: a matrix in whole tiles of 16 rows, a vector without tiles."""
    stored = 1 if rows == 1 else -(-rows // _core.TILE) * _core.TILE
    return weight_format(name).size(stored * inputs)


def to_float32(tensor: Tensor) -> Tensor:
    """Exact conversion, for small matrices."""
    if tensor.format == "F32":
        return tensor
    data = _core.dequantize(tensor.format, tensor.data, tensor.rows, tensor.inputs)
    return Tensor("F32", tensor.rows, tensor.inputs, data)
