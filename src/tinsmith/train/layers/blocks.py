"""Matrices in the blocks of a GGUF file, to torch: multiplied by unpacking some at a time, not held as floats.

Two ways give the same values: on the CPU the core's C function, elsewhere torch's own operations on the blocks.
What multiplies is a custom operation of torch (torch.library) with its gradient, so that autograd,
checkpointing and fake tensors take it as any other.
"""

from __future__ import annotations

import threading
import warnings
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from tinsmith import _core
from tinsmith.formats.weights import weight_format
from tinsmith.spec import Tensor as SpecTensor
from tinsmith.train.layers.sharing import buffer, shared_out

# Values that are unpacked at once: 8 MB of bfloat16.
_PIECE = 1 << 22
# Values that one thread unpacks sooner than it could ask another.
_ALONE = 1 << 18


class Blocks(nn.Module):
    """A frozen matrix [rows, inputs] in a weight format: row r is row order[r] of the data, and column c of the
    data is its column columns[c]; None for the same order.

    data: uint8 [rows, bytes a row]; dtype: what it is multiplied in where that is not the other side's type;
    less: a pair b [rows, rank], a [rank, inputs], whose product is taken off the matrix.
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
        """Some of the rows, sharing memory."""
        assert self.order is None, "a matrix whose rows have another order is used whole"
        return Blocks(self.format, self.data[first : first + rows], self.inputs, None, self.columns)

    def replaced(self, tensor: SpecTensor, less: tuple[Tensor, Tensor] | None = None) -> Blocks:
        """Another tensor in this one's place, rows and columns in the same order."""
        data = from_buffer(tensor.format, tensor.data, tensor.rows, tensor.inputs).to(self.data.device)
        other = Blocks(tensor.format, data, tensor.inputs, self.order, self.columns)
        other.dtype, other.less = self.dtype, less
        return other

    def copy(self) -> Blocks:
        """Sharing memory, and left as it is when this one becomes another."""
        other = Blocks(self.format, self.data, self.inputs, self.order, self.columns)
        other.dtype, other.less = self.dtype, self.less
        return other

    def become(self, other: Blocks) -> None:
        """Holds what another one of the same shape and order does."""
        self.format, self.data, self.less = other.format, other.data, other.less

    def lookup(self, rows: Tensor) -> Tensor:
        """The rows of these numbers, float32 [*rows.shape, inputs]."""
        if self.order is not None:
            rows = self.order[rows]
        picked = self.data.index_select(0, rows.flatten())
        values: Tensor = unpack(
            picked, self.format, self.inputs, None, torch.float32, 0, len(picked), 0, self.inputs
        )
        if self.columns is not None:
            values = values.index_select(1, self.columns.argsort())
        return values.view(*rows.shape, -1)

    def scratch(self, first: int, rows: int) -> Tensor:
        """Some of the rows, in dtype, until anything else is unpacked."""
        part = (first, rows, 0, self.inputs)
        values = _scratch(self.dtype, self.data, self.format, self.inputs, self.order, *part)
        return values if self.columns is None else values.index_select(1, self.columns.argsort())


def from_buffer(format: str, data: Any, rows: int, inputs: int) -> Tensor:
    """uint8 [rows, bytes a row] on a buffer's own memory, which may be pages of a mapped file: not written."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the buffer cannot be written
        flat = torch.frombuffer(data, dtype=torch.uint8)
    return flat.view(rows, -1)


@torch.library.custom_op("tinsmith::unpack", mutates_args=())
def unpack(
    data: Tensor,
    format: str,
    inputs: int,
    order: Tensor | None,
    dtype: torch.dtype,
    first: int,
    rows: int,
    column: int,
    columns: int,
) -> Tensor:
    """Rows first … and columns column … of a packed matrix, [rows, columns]."""
    return _unpacked(data, format, inputs, order, dtype, first, rows, column, columns, None)


@unpack.register_fake
def _(
    data: Tensor,
    format: str,
    inputs: int,
    order: Tensor | None,
    dtype: torch.dtype,
    first: int,
    rows: int,
    column: int,
    columns: int,
) -> Tensor:
    return data.new_empty(rows, columns, dtype=dtype)


@torch.library.custom_op("tinsmith::times", mutates_args=())
def times(
    x: Tensor, data: Tensor, format: str, inputs: int, order: Tensor | None, columns: Tensor | None
) -> Tensor:
    """x [rows, inputs] W^T, in x's type."""
    if columns is not None:
        x = x.index_select(1, columns)
    count = len(data)
    step = max(1, min(count, _PIECE // inputs))
    if step == count:
        return x @ _scratch(x.dtype, data, format, inputs, order, 0, count, 0, inputs).T
    out = x.new_empty(len(x), count)
    for first in range(0, count, step):
        rows = min(step, count - first)
        part = _scratch(x.dtype, data, format, inputs, order, first, rows, 0, inputs)
        out[:, first : first + rows] = x @ part.T
    return out


@times.register_fake
def _(
    x: Tensor, data: Tensor, format: str, inputs: int, order: Tensor | None, columns: Tensor | None
) -> Tensor:
    return x.new_empty(len(x), len(data))


@torch.library.custom_op("tinsmith::times_transposed", mutates_args=())
def times_transposed(
    y: Tensor, data: Tensor, format: str, inputs: int, order: Tensor | None, columns: Tensor | None
) -> Tensor:
    """y [rows, outputs] W, in y's type: a stretch of columns at a time, so that no sum is cut."""
    count, block = len(data), weight_format(format).block
    step = max(1, min(inputs, _PIECE // count) // block) * block
    if step >= inputs:
        out = y @ _scratch(y.dtype, data, format, inputs, order, 0, count, 0, inputs)
    else:
        out = y.new_empty(len(y), inputs)
        for column in range(0, inputs, step):
            width = min(step, inputs - column)
            part = _scratch(y.dtype, data, format, inputs, order, 0, count, column, width)
            out[:, column : column + width] = y @ part
    return out if columns is None else out.index_select(1, columns.argsort())


@times_transposed.register_fake
def _(
    y: Tensor, data: Tensor, format: str, inputs: int, order: Tensor | None, columns: Tensor | None
) -> Tensor:
    return y.new_empty(len(y), inputs)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, data, ctx.format, ctx.inputs, order, columns = inputs
    ctx.save_for_backward(data, order, columns)


def _back(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    data, order, columns = ctx.saved_tensors
    return times_transposed(gradient, data, ctx.format, ctx.inputs, order, columns), *(None,) * 5


def _back_transposed(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    data, order, columns = ctx.saved_tensors
    return times(gradient, data, ctx.format, ctx.inputs, order, columns), *(None,) * 5


times.register_autograd(_back, setup_context=_keep)
times_transposed.register_autograd(_back_transposed, setup_context=_keep)


def times_matrix(x: Tensor, matrix: Tensor | Blocks) -> Tensor:
    """x [rows, inputs] W^T, of a matrix however it is held."""
    if isinstance(matrix, Tensor):
        return x @ matrix.T
    out: Tensor = times(x, matrix.data, matrix.format, matrix.inputs, matrix.order, matrix.columns)
    if matrix.less is not None:
        b, a = (factor.to(x.dtype) for factor in matrix.less)
        out = torch.addmm(out, x @ a.T, b.T, alpha=-1)
    return out


def times_matrix_transposed(y: Tensor, matrix: Tensor | Blocks) -> Tensor:
    """y [rows, outputs] W."""
    if isinstance(matrix, Tensor):
        return y @ matrix
    out: Tensor = times_transposed(y, matrix.data, matrix.format, matrix.inputs, matrix.order, matrix.columns)
    if matrix.less is not None:
        b, a = (factor.to(y.dtype) for factor in matrix.less)
        out = torch.addmm(out, y @ b, a, alpha=-1)
    return out


_memory = threading.local()


def _scratch(
    dtype: torch.dtype,
    data: Tensor,
    format: str,
    inputs: int,
    order: Tensor | None,
    first: int,
    rows: int,
    column: int,
    columns: int,
) -> Tensor:
    """A part in the thread's own memory, until the next one: new memory costs as much as unpacking into it."""
    held: Tensor | None = getattr(_memory, "held", None)
    size = rows * columns
    if data.device.type != "cpu":
        return _unpacked(data, format, inputs, order, dtype, first, rows, column, columns, None)
    if held is None or held.dtype != dtype or held.numel() < size:
        held = _memory.held = torch.empty(size, dtype=dtype)
    out = held[:size].view(rows, columns)
    return _unpacked(data, format, inputs, order, dtype, first, rows, column, columns, out)


def _unpacked(
    data: Tensor,
    format: str,
    inputs: int,
    order: Tensor | None,
    dtype: torch.dtype,
    first: int,
    rows: int,
    column: int,
    columns: int,
    out: Tensor | None,
) -> Tensor:
    if data.device.type != "cpu":
        chosen = data[first : first + rows] if order is None else data[order[first : first + rows].long()]
        return unpack_by_torch(chosen, format, column, columns).to(dtype)
    narrow = dtype == torch.bfloat16
    if out is None or not (narrow or dtype == torch.float32):
        out = torch.empty(rows, columns, dtype=dtype if narrow else torch.float32)
    given, places = buffer(data), None if order is None else buffer(order)

    def write(begin: int, end: int) -> None:
        held = buffer(out[begin:end])
        part = (first + begin, end - begin, column, columns)
        _core.values(format, given, len(data), inputs, places, held, narrow, *part)

    shared_out(rows, torch.get_num_threads() if rows * columns >= _ALONE else 1, write)
    return out if narrow else out.to(dtype)


@cache
def _layout(format: str) -> dict[str, Any]:
    return _core.block_layout(format)


def unpack_by_torch(data: Tensor, format: str, column: int, columns: int) -> Tensor:
    """Columns column … of rows of blocks [rows, bytes a row], float32 [rows, columns], by torch's operations,
    in the order in which the core's dequantize does them."""
    kind = weight_format(format)
    begin, end = column // kind.block * kind.bytes, (column + columns) // kind.block * kind.bytes
    rows, data = len(data), data[:, begin:end].contiguous()
    if format in _PLAIN:
        return data.view(_PLAIN[format]).float()
    if _layout(format)["words"]:  # looked up in tables that the core has
        held = data.cpu()
        out = torch.empty(rows, columns)
        part = (0, rows, 0, columns)
        _core.values(format, buffer(held), rows, columns, None, buffer(out), False, *part)
        return out.to(data.device)
    blocks, layout = data.view(-1, kind.bytes), _layout(format)
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
    """What a plane of the blocks holds of each input, uint8 [blocks, inputs]: input i lies in byte i % stride
    of its run of stride bytes, from bit i / stride * bits on."""
    at, bits, stride = plane
    runs = blocks[:, at : at + inputs * bits // 8].reshape(len(blocks), -1, 1, stride)
    shifts = torch.arange(0, 8, bits, dtype=torch.uint8, device=blocks.device).view(1, 1, -1, 1)
    return (runs >> shifts & (1 << bits) - 1).reshape(len(blocks), inputs)


def _shifts(packed: Tensor, bits: int) -> Tensor:
    return torch.arange(0, 8, bits, dtype=torch.uint8, device=packed.device)


def _groups(packed: Tensor, format: str) -> tuple[Tensor, Tensor]:
    """Each group's small scale, and what multiplies the minimum, from a block's 12 or 16 bytes."""
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
