"""Matrices in a GGUF file's blocks, which torch layers multiply by, unpacking a part at a time.

The CPU unpacks with the core's C function, other devices with torch's operations on the blocks; the values are
equal.
"""

from __future__ import annotations

import threading
import warnings
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tinsmith import _core
from tinsmith.formats.weights import weight_format
from tinsmith.spec import Tensor as SpecTensor
from tinsmith.train.layers.sharing import buffer, shared_out

_PIECE = 1 << 22  # values unpacked at once: 8 MB of bfloat16
_ALONE = 1 << 18  # values that one thread unpacks faster than it could wake another
_memory = threading.local()


class Part(NamedTuple):
    """`rows` rows from `first` on, and `columns` of their columns from `column` on."""

    first: int
    rows: int
    column: int
    columns: int


class Blocks(nn.Module):
    """A frozen matrix [rows, inputs] in a weight format.

    Row r is row order[r] of the data, and column c of the data is its column columns[c]; None for the same
    order. data: uint8 [rows, bytes a row]; dtype: of products whose other side does not decide it; less: a pair
    b [rows, rank], a [rank, inputs], whose product is subtracted from the matrix.
    """

    data: Tensor
    order: Tensor | None
    columns: Tensor | None

    def __init__(
        self, format: str, data: Tensor, inputs: int, order: Tensor | None = None, columns: Tensor | None = None
    ) -> None:
        super().__init__()
        self.format, self.inputs, self.dtype = format, inputs, torch.float32
        self.less: tuple[Tensor, Tensor] | None = None
        self.register_buffer("data", data, persistent=False)
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("columns", columns, persistent=False)

    @property
    def rows(self) -> int:
        return len(self.data)

    def part(self, first: int, rows: int) -> Blocks:
        """Some of the rows, in shared memory."""
        assert self.order is None, "a matrix whose rows have another order is used whole"
        return Blocks(self.format, self.data[first : first + rows], self.inputs, None, self.columns)

    def replaced(self, tensor: SpecTensor, less: tuple[Tensor, Tensor] | None = None) -> Blocks:
        """Another tensor's blocks, rows and columns in the same order."""
        data = from_buffer(tensor.format, tensor.data, tensor.rows, tensor.inputs).to(self.data.device)
        other = Blocks(tensor.format, data, tensor.inputs, self.order, self.columns)
        other.dtype, other.less = self.dtype, less
        return other

    def copy(self) -> Blocks:
        """A copy that shares memory, which a later `become` does not change."""
        other = Blocks(self.format, self.data, self.inputs, self.order, self.columns)
        other.dtype, other.less = self.dtype, self.less
        return other

    def become(self, other: Blocks) -> None:
        """Takes the data of another matrix of the same shape and order."""
        self.format, self.data, self.less = other.format, other.data, other.less

    def lookup(self, rows: Tensor) -> Tensor:
        """The rows of these numbers, float32 [*rows.shape, inputs]."""
        if self.order is not None:
            rows = self.order[rows]
        picked = Blocks(self.format, self.data.index_select(0, rows.flatten()), self.inputs)
        values = picked.unpacked(torch.float32, Part(0, picked.rows, 0, self.inputs))
        return self._ordered(values).view(*rows.shape, -1)

    def scratch(self, first: int, rows: int) -> Tensor:
        """Some of the rows, in dtype, valid until the thread unpacks again."""
        return self._ordered(self._scratch(self.dtype, Part(first, rows, 0, self.inputs)))

    def _ordered(self, values: Tensor) -> Tensor:
        return values if self.columns is None else values.index_select(1, self.columns.argsort())

    def times(self, x: Tensor) -> Tensor:
        """x [rows, inputs] W^T, in x's type, without gradient."""
        if self.columns is not None:
            x = x.index_select(1, self.columns)
        count = self.rows
        step = max(1, min(count, _PIECE // self.inputs))
        if step == count:
            return x @ self._scratch(x.dtype, Part(0, count, 0, self.inputs)).T
        out = x.new_empty(len(x), count)
        for first in range(0, count, step):
            part = Part(first, min(step, count - first), 0, self.inputs)
            out[:, first : first + part.rows] = x @ self._scratch(x.dtype, part).T
        return out

    def times_transposed(self, y: Tensor) -> Tensor:
        """y [rows, outputs] W, in y's type, without gradient. By columns, so that no sum is split."""
        count, inputs, block = self.rows, self.inputs, weight_format(self.format).block
        step = max(1, min(inputs, _PIECE // count) // block) * block
        if step >= inputs:
            out = y @ self._scratch(y.dtype, Part(0, count, 0, inputs))
        else:
            out = y.new_empty(len(y), inputs)
            for column in range(0, inputs, step):
                part = Part(0, count, column, min(step, inputs - column))
                out[:, column : column + part.columns] = y @ self._scratch(y.dtype, part)
        return self._ordered(out)

    def _scratch(self, dtype: torch.dtype, part: Part) -> Tensor:
        """In the thread's reused memory: new memory costs as much as unpacking into it."""
        if self.data.device.type != "cpu":
            return self.unpacked(dtype, part)
        memory: Tensor | None = getattr(_memory, "values", None)
        size = part.rows * part.columns
        if memory is None or memory.dtype != dtype or memory.numel() < size:
            memory = _memory.values = torch.empty(size, dtype=dtype)
        return self.unpacked(dtype, part, memory[:size].view(part.rows, part.columns))

    def unpacked(self, dtype: torch.dtype, part: Part, out: Tensor | None = None) -> Tensor:
        """A part of the data, rows in the matrix's order; in `out` if its type is float32 or bfloat16."""
        data, order = self.data, self.order
        first, rows, column, columns = part
        if data.device.type != "cpu":
            chosen = data[first : first + rows] if order is None else data[order[first : first + rows].long()]
            return unpack_by_torch(chosen, self.format, column, columns).to(dtype)
        narrow = dtype == torch.bfloat16
        if out is None or not (narrow or dtype == torch.float32):
            out = torch.empty(rows, columns, dtype=dtype if narrow else torch.float32)
        source, places = buffer(data), None if order is None else buffer(order)

        def write(begin: int, end: int) -> None:
            span = (first + begin, end - begin, column, columns)
            target = buffer(out[begin:end])
            _core.values(self.format, source, len(data), self.inputs, places, target, narrow, *span)

        shared_out(rows, torch.get_num_threads() if rows * columns >= _ALONE else 1, write)
        return out if narrow else out.to(dtype)


def from_buffer(format: str, data: Any, rows: int, inputs: int) -> Tensor:
    """uint8 [rows, bytes a row] on a buffer's own memory, which may be a mapped file's pages: read-only."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the buffer cannot be written
        flat = torch.frombuffer(data, dtype=torch.uint8)
    return flat.view(rows, -1)


class _Times(torch.autograd.Function):
    """The two products of a matrix: each is the other's gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, blocks: Blocks, transposed: bool) -> Tensor:
        ctx.blocks, ctx.transposed = blocks, transposed
        return blocks.times_transposed(x) if transposed else blocks.times(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        times = ctx.blocks.times if ctx.transposed else ctx.blocks.times_transposed
        return times(gradients[0]), None, None


def times_matrix(x: Tensor, matrix: Tensor | Blocks, *, transposed: bool = False) -> Tensor:
    """x [rows, inputs] W^T, or transposed x [rows, outputs] W; the matrix as floats or in blocks."""
    if isinstance(matrix, Tensor):
        return x @ (matrix if transposed else matrix.T)
    out: Tensor = _Times.apply(x, matrix, transposed)  # type: ignore[no-untyped-call]
    if matrix.less is not None:
        b, a = (factor.to(x.dtype) for factor in matrix.less)
        first, second = (b, a) if transposed else (a.T, b.T)
        out = torch.addmm(out, x @ first, second, alpha=-1)
    return out


def unpack_by_torch(data: Tensor, format: str, column: int, columns: int) -> Tensor:
    """Columns column … of rows of blocks [rows, bytes a row], float32 [rows, columns], by torch's operations in
    the order of the core's dequantization."""
    kind = weight_format(format)
    begin, end = column // kind.block * kind.bytes, (column + columns) // kind.block * kind.bytes
    rows, data = len(data), data[:, begin:end].contiguous()
    if format in _PLAIN:
        return data.view(_PLAIN[format]).float()
    layout = _core.block_layout(format)
    if layout["words"]:  # looked up in the core's tables
        return (
            Blocks(format, data.cpu(), columns)
            .unpacked(torch.float32, Part(0, rows, 0, columns))
            .to(data.device)
        )
    blocks = data.view(-1, kind.bytes)
    numbers = _plane(blocks, layout["low"], kind.block) ^ layout["flip"]
    if layout["high"][1]:
        numbers = numbers | _plane(blocks, layout["high"], kind.block) << layout["low"][1]
    if layout["codes"]:
        codes = torch.frombuffer(bytearray(layout["codes"]), dtype=torch.uint8).to(data.device)
        numbers = codes[numbers.long()]
    whole: Tensor = numbers.float() - layout["offset"]
    halves = blocks[:, layout["halves"] :][:, : layout["half_bytes"]].contiguous().view(torch.float16).float()
    scale, least = halves[:, :1], halves[:, 1:]
    if layout["scale_bytes"]:
        scales, minimums = _groups(blocks[:, layout["scales"] :][:, : layout["scale_bytes"]], format)
        scale = (scale * scales).repeat_interleave(kind.block // scales.shape[1], 1)
        if least.shape[1]:
            least = (-(least * minimums)).repeat_interleave(kind.block // minimums.shape[1], 1)
    values = scale * whole
    if least.shape[1]:
        values = values + least
    return values.view(rows, columns)


_PLAIN = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def _plane(blocks: Tensor, plane: tuple[int, int, int], inputs: int) -> Tensor:
    """A plane's bits of each input, uint8 [blocks, inputs]: input i lies in byte i % stride of its run of
    stride bytes, from bit i / stride * bits on."""
    at, bits, stride = plane
    runs = blocks[:, at : at + inputs * bits // 8].reshape(len(blocks), -1, 1, stride)
    shifts = _shifts(blocks, bits).view(1, 1, -1, 1)
    return (runs >> shifts & (1 << bits) - 1).reshape(len(blocks), inputs)


def _shifts(packed: Tensor, bits: int) -> Tensor:
    return torch.arange(0, 8, bits, dtype=torch.uint8, device=packed.device)


def _groups(packed: Tensor, format: str) -> tuple[Tensor, Tensor]:
    """Each group's scale, and the factor of its minimum, from a block's 12 or 16 bytes."""
    if format == "Q6_K":
        return packed.contiguous().view(torch.int8).float(), packed[:, :0].float()
    if format == "Q2_K":
        return (packed & 15).float(), (packed >> 4).float()
    if format == "IQ4_XS":
        nibbles = (packed[:, 2:, None] >> _shifts(packed, 4) & 15).flatten(1)
        tops = (packed[:, :2, None] >> _shifts(packed, 2) & 3).flatten(1)
        return (nibbles | tops << 4).float() - 32, packed[:, :0].float()
    first, second, third = packed[:, :4], packed[:, 4:8], packed[:, 8:12]
    if format == "Q3_K":
        low = [first & 15, second & 15, first >> 4, second >> 4]
        high = [third >> shift & 3 for shift in (0, 2, 4, 6)]
        scales = torch.cat([a | b << 4 for a, b in zip(low, high, strict=True)], 1)
        return scales.float() - 32, packed[:, :0].float()
    scales = torch.cat([first & 63, third & 15 | first >> 2 & 48], 1)
    minimums = torch.cat([second & 63, third >> 4 | second >> 2 & 48], 1)
    return scales.float(), minimums.float()
