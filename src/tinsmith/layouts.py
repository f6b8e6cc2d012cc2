"""Conversions between a Hugging Face folder's tensors and a spec's: pairs for TensorName's from_hf and to_hf.

They are plain Python and take float formats: only short vectors change values, matrices move whole rows or runs
of columns.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence

from tinsmith.errors import UnsupportedError
from tinsmith.spec import Buffer, Tensor

_BYTES = {"F32": 4, "F16": 2, "BF16": 2}


def plus_one(tensor: Tensor) -> Tensor:
    """A norm's weight that a folder stores minus one, in float32: differences below 2^-24 are lost."""
    return _mapped(tensor, lambda x: x + 1.0)


def minus_one(tensor: Tensor) -> Tensor:
    """The inverse of plus_one."""
    return _mapped(tensor, lambda x: x - 1.0)


def minus_exp(tensor: Tensor) -> Tensor:
    """-exp(x): the decay rates whose logarithms a folder stores."""
    return _mapped(tensor, lambda x: -math.exp(x))


def log_of_minus(tensor: Tensor) -> Tensor:
    """The inverse of minus_exp, except for rounding."""
    return _mapped(tensor, lambda x: math.log(-x))


def _mapped(tensor: Tensor, change: Callable[[float], float]) -> Tensor:
    count = tensor.rows * tensor.inputs
    values = struct.unpack(f"<{count}f", tensor.data)
    return Tensor("F32", tensor.rows, tensor.inputs, struct.pack(f"<{count}f", *map(change, values)))


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Concatenates rows of matrices of one format, or elements of vectors."""
    data = b"".join(part.data for part in parts)
    first = parts[0]
    if first.rows == 1:
        return Tensor(first.format, 1, sum(part.inputs for part in parts), data)
    return Tensor(first.format, sum(part.rows for part in parts), first.inputs, data)


def inverse(order: Sequence[int]) -> list[int]:
    """The permutation that undoes `order`."""
    return sorted(range(len(order)), key=order.__getitem__)


def rows_in_order(tensor: Tensor, order: Sequence[int]) -> Tensor:
    """Row i is the tensor's row order[i]; any format."""
    return Tensor(tensor.format, tensor.rows, tensor.inputs, reordered(tensor.data, row_bytes(tensor), order))


def row_bytes(tensor: Tensor) -> int:
    return memoryview(tensor.data).nbytes // tensor.rows


def reordered(data: Buffer, width: int, order: Sequence[int]) -> Buffer:
    """Rows of `width` bytes: row i of each run of len(order) rows is the data's row order[i] of that run."""
    if len(order) == 1:
        return data
    view = memoryview(data).cast("B")
    return b"".join(
        view[run + row * width : run + (row + 1) * width]
        for run in range(0, len(view), len(order) * width)
        for row in order
    )


def row_range(tensor: Tensor, begin: int, count: int) -> Tensor:
    """`count` rows of a matrix in any format, or elements of a vector."""
    view = memoryview(tensor.data).cast("B")
    width = len(view) // (tensor.rows if tensor.rows > 1 else tensor.inputs)
    data = view[begin * width : (begin + count) * width]
    if tensor.rows == 1:
        return Tensor(tensor.format, 1, count, data)
    return Tensor(tensor.format, count, tensor.inputs, data)


def columns_in_order(tensor: Tensor, order: Sequence[int], run: int) -> Tensor:
    """In each row, run i of `run` columns is the tensor's run order[i]; float formats."""
    view = memoryview(tensor.data).cast("B")
    width, size = len(view) // tensor.rows, run * _BYTES[tensor.format]
    data = b"".join(
        view[row + part * size : row + (part + 1) * size]
        for row in range(0, len(view), width)
        for part in order
    )
    return Tensor(tensor.format, tensor.rows, tensor.inputs, data)


def transposed(tensor: Tensor) -> Tensor:
    """Row i is the tensor's column i; float formats."""
    if tensor.format not in _BYTES:
        raise UnsupportedError(f"a {tensor.format} matrix can't be transposed; supported: {', '.join(_BYTES)}")
    view = memoryview(tensor.data).cast("B")
    values = view.cast("I") if _BYTES[tensor.format] == 4 else view.cast("H")
    data = b"".join(values[column :: tensor.inputs].tobytes() for column in range(tensor.inputs))
    return Tensor(tensor.format, tensor.inputs, tensor.rows, data)
