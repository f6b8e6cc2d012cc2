"""adapter.bin: an adapter's packed factors, in the layout of kernels/core/vm/adapter.h; or a prefix, in that of
prefix.h beside it."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tinsmith import _core
from tinsmith.compiler.program import Listing, state_shapes
from tinsmith.errors import FormatError, InputError, RuntimeFault, UnsupportedError
from tinsmith.formats.weights import WEIGHT_FORMATS, packed_bytes, weight_format
from tinsmith.spec import Buffer

FORMATS = ("Q8_0", "F16")  # of factors

_HEADER = struct.Struct("<8s4IQ32s")
_FACTORS = struct.Struct("<6IfI2Q")
_MAGIC = b"TINADPT\0"
_VERSION = 2
_WHOLE, _HALF = 34 * _core.TILE, 18 * _core.TILE  # bytes of a tile of B in Q8_0, of 32 inputs and of 16
_FORMAT_OF = {one.number: name for name, one in WEIGHT_FORMATS.items()}
_PREFIX_MAGIC = b"TINPREF\0"
_PREFIX_VERSION = 1


@dataclass(frozen=True)
class LowRank:
    """A matrix's update: scale * b a. a: float32 [rank, inputs]. b: float32 [outputs, rank]. b's rows and a's
    columns have the order of the program's tensor."""

    outputs: int
    inputs: int
    rank: int
    scale: float
    a: Buffer
    b: Buffer


def compile_adapter(
    factors: Mapping[str, LowRank], program: Listing, format: str = FORMATS[0], source: bytes = bytes(32)
) -> bytes:
    """factors: by the name of the program's tensor. format: of FORMATS, the factors' (F16 where a row has no
    whole number of Q8_0 blocks). source: the digest of the adapter's base checkpoint, zeros if unknown.

    Raises InputError for a matrix that the program lacks or has in another shape.
    """
    names = sorted(factors, key=str.encode)
    heads: list[bytes] = []
    text, packed = b"", bytearray()
    for name in names:
        one, tensor = factors[name], program.tensors.get(name)
        # A program stores a vector as a matrix with a row of zeros.
        rows = 2 if one.outputs == 1 else one.outputs
        if tensor is None or (tensor.rows, tensor.inputs) != (rows, one.inputs):
            has = "no such matrix" if tensor is None else f"{[tensor.rows, tensor.inputs]}"
            raise InputError(f"the adapter changes {name}, {[one.outputs, one.inputs]}; the model has {has}")
        rank = -(-one.rank // _core.TILE) * _core.TILE
        width = room_of(rank, format)
        a_format = format if one.inputs % weight_format(format).block == 0 else "F16"
        a = _packed(a_format, _filled(one.a, 1, rank - one.rank, one.inputs), rank, one.inputs)
        b_rows = _filled(one.b, one.outputs, width - one.rank, 1) + bytes(4 * (rows - one.outputs) * width)
        b, half = _packed(format, b_rows, rows, width), is_half(rank, format)
        if half:
            b = _halved(b)
        places = []
        for part in (a, b):
            packed += bytes(-len(packed) % _core.ALIGNMENT)
            places.append(len(packed))
            packed += part
        numbers = (weight_format(one).number for one in (a_format, format))
        heads.append(_FACTORS.pack(len(text), one.inputs, rows, rank, *numbers, one.scale, half, *places))
        text += name.encode() + b"\0"
    header = _HEADER.pack(_MAGIC, _VERSION, len(names), len(text), 0, len(packed), source)
    before = b"".join([header, *heads, text])
    return before + bytes(-len(before) % _core.ALIGNMENT) + bytes(packed)


def room_of(rank: int, format: str) -> int:
    """The part of a session's adapter_rank that factors of this rank need."""
    unit = max(_core.TILE, weight_format(format).block)
    return -(-rank // unit) * unit


def is_half(rank: int, format: str) -> bool:
    """Whether B omits the last 16 inputs of its blocks, which are beyond `rank`."""
    return format == "Q8_0" and rank == _core.TILE


def planned_factors(shapes: Mapping[str, tuple[int, int, int]], program: Listing) -> tuple[int, int]:
    """Bytes of an adapter, and the part of a session's adapter_rank that it needs. shapes: outputs, inputs and
    rank by the name of the program's tensor."""
    zeros = {
        name: LowRank(outputs, inputs, rank, 1.0, bytes(4 * rank * inputs), bytes(4 * outputs * rank))
        for name, (outputs, inputs, rank) in shapes.items()
    }
    most = max((rank for _, _, rank in shapes.values()), default=0)
    return len(compile_adapter(zeros, program)), room_of(most, FORMATS[0])


def factors_of(data: Buffer, where: str) -> dict[str, LowRank]:
    """The factors of an adapter.bin, with ranks padded to whole tiles. where: the file's name in errors. Raises
    UnsupportedError for a prefix, FormatError for a damaged file."""
    view = memoryview(data).cast("B")
    if view[:8] == _PREFIX_MAGIC:
        raise UnsupportedError(f"{where}: a prefix, which only the native runtime supports")
    try:
        magic, version, count, text_bytes, _, size, _ = _HEADER.unpack_from(view)
        heads = [_FACTORS.unpack_from(view, _HEADER.size + k * _FACTORS.size) for k in range(count)]
        begin = _HEADER.size + count * _FACTORS.size
        text = bytes(view[begin : begin + text_bytes])
        begin += text_bytes
        packed = view[begin + -begin % _core.ALIGNMENT :]
        if (magic, version, len(packed)) != (_MAGIC, _VERSION, size):
            raise ValueError("its header")
        return {text[head[0] : text.index(b"\0", head[0])].decode(): _factors(packed, head) for head in heads}
    except (struct.error, ValueError, KeyError, RuntimeFault) as fault:
        raise FormatError(f"{where}: a damaged adapter ({fault}); build the file again") from fault


def _factors(packed: memoryview, head: tuple[Any, ...]) -> LowRank:
    _, inputs, rows, rank, a_number, b_number, scale, half, a_begin, b_begin = head
    a = _unpacked(_FORMAT_OF[a_number], packed[a_begin:], rank, inputs)
    b_format = _FORMAT_OF[b_number]
    width = room_of(rank, b_format)
    b_packed = _whole(packed[b_begin:], rows) if half else packed[b_begin:]
    b = memoryview(_unpacked(b_format, b_packed, rows, width))
    own = b"".join(b[4 * row * width : 4 * (row * width + rank)] for row in range(rows))
    return LowRank(rows, inputs, rank, scale, a, own)


def _halved(packed: bytes) -> bytes:
    return b"".join(packed[at : at + _HALF] for at in range(0, len(packed), _WHOLE))


def _whole(halves: memoryview, rows: int) -> memoryview:
    end, zeros = -(-rows // _core.TILE) * _HALF, bytes(_WHOLE - _HALF)
    if len(halves) < end:
        raise ValueError("factors that end too soon")
    return memoryview(b"".join(bytes(halves[at : at + _HALF]) + zeros for at in range(0, end, _HALF)))


def _unpacked(format: str, data: memoryview, rows: int, inputs: int) -> bytes:
    size = packed_bytes(format, rows, inputs)
    if len(data) < size:
        raise ValueError("factors that end too soon")
    return _core.dequantize(format, _core.unpack(format, data[:size], rows, inputs), rows, inputs)


def compile_prefix(
    length: int, caches: Sequence[Buffer], states: Sequence[Buffer], program: Listing, source: bytes = bytes(32)
) -> bytes:
    """caches: float32 [heads, 2, length, head_dim] each, keys and then values. states: float32 [heads,
    columns / TILE, rows, TILE] each. Both in the program's order. source: as an adapter's.

    Raises InputError for shapes other than the program's.
    """
    given = [[memoryview(one).nbytes for one in part] for part in (caches, states)]
    if given != [*_prefix_sizes(length, program)]:
        raise InputError("the prefix has other layers or heads than the model; give the one of its base")
    counts = length, len(caches), len(states)
    header = _HEADER.pack(_PREFIX_MAGIC, _PREFIX_VERSION, *counts, 0, source)
    before = header + state_shapes(program.caches, program.states)
    return b"".join([before, bytes(-len(before) % _core.ALIGNMENT), *states, *caches])


def planned_prefix(length: int, program: Listing) -> int:
    """Bytes of a prefix of `length` tokens."""
    caches, states = (list(map(bytes, sizes)) for sizes in _prefix_sizes(length, program))
    return len(compile_prefix(length, caches, states, program))


def _prefix_sizes(length: int, program: Listing) -> tuple[list[int], list[int]]:
    """Bytes of each cache and of each state."""
    caches = [8 * one.heads * length * one.head_dim for one in program.caches]
    return caches, [4 * one.heads * one.rows * one.columns for one in program.states]


def _filled(data: Buffer, rows: int, more: int, width: int) -> bytes:
    """The data in `rows` parts, each followed by `more` times `width` zeros."""
    whole = memoryview(data).cast("B")
    size, zeros = len(whole) // rows, bytes(4 * more * width)
    return b"".join(bytes(whole[row * size : (row + 1) * size]) + zeros for row in range(rows))


def _packed(format: str, floats: bytes, rows: int, inputs: int) -> bytes:
    return _core.pack(format, _core.quantize(format, floats, rows, inputs), rows, inputs)
