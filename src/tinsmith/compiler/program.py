"""Writes and reads program.bin: the lowered graph, in the layout of kernels/core/vm/program.h; and packs
weights.bin, its tensors."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tinsmith import _core
from tinsmith.compiler.passes import plan_memory
from tinsmith.errors import FormatError, RuntimeFault
from tinsmith.formats.tin import Tin
from tinsmith.formats.weights import WEIGHT_FORMATS, packed_bytes, weight_format
from tinsmith.graph import Cache, Graph, Op, State, Value
from tinsmith.spec import Buffer, Tensor
from tinsmith.system.files import forget, map_file
from tinsmith.system.parallel import in_order

_HEADER = struct.Struct("<8s10I2Q")
_TENSOR = struct.Struct("<4I2Q")
_VALUE = struct.Struct("<2HIQ")
_SHAPE = struct.Struct("<3I4x")  # of a cache or a state
_OP = struct.Struct("<2I4I4I6I1I3I4f")
_MAGIC = b"TINPROG\0"
_NONE = 0xFFFFFFFF
_TYPES = {"F32": 0, "Q8": 1}
_PIECE = 1 << 21  # weights packed by one task

T = TypeVar("T")


class Packed(NamedTuple):
    """A tensor of a program and its place in weights.bin."""

    format: str
    rows: int
    inputs: int
    offset: int
    bytes: int


def shape_of(tensor: Tensor) -> tuple[str, int, int]:
    return tensor.format, tensor.rows, tensor.inputs


def tensors_of(graph: Graph) -> list[str]:
    """The tensors that its ops read, in order."""
    return list(dict.fromkeys(t for op in graph.ops for t in op.tensors if t is not None))


def write_program(graph: Graph, *, vocab: int, context: int, chunk: int, tensors: Sequence[str] = ()) -> bytes:
    """program.bin. graph: after compiler.passes.lower. context: positions of a session, at most. chunk: its
    default of tokens computed at once. tensors: in weights.bin, by default those that the graph reads."""
    offsets, size_of_row = plan_memory(graph)
    names = list(tensors) or tensors_of(graph)
    table, text, end = [], b"", 0
    for name in names:
        tensor = graph.tensors[name]
        size, number = packed_bytes(*shape_of(tensor)), weight_format(tensor.format).number
        table.append(_TENSOR.pack(number, tensor.rows, tensor.inputs, len(text), end, size))
        text += name.encode() + b"\0"
        end += -(-size // _core.ALIGNMENT) * _core.ALIGNMENT
    values = [
        _VALUE.pack(_TYPES[value.type], value.share, value.width, offset) for value, offset in offsets.items()
    ]
    value_numbers = {value: k for k, value in enumerate(offsets)}
    tensor_numbers = {name: k for k, name in enumerate(names)}
    ops = [_encode(op, value_numbers, tensor_numbers) for op in graph.ops]
    counts = (len(names), len(values), len(graph.caches), len(ops), len(text), vocab, context, chunk)
    sizes = (len(graph.states), size_of_row, end)
    header = _HEADER.pack(_MAGIC, _core.PROGRAM_VERSION, *counts, *sizes)
    return b"".join([header, *table, *values, state_shapes(graph.caches, graph.states), *ops, text])


def state_shapes(caches: Sequence[Cache], states: Sequence[State]) -> bytes:
    """The shapes of a program's caches and recurrent states, as in program.bin."""
    shapes: tuple[Cache | State, ...] = (*caches, *states)
    return b"".join(_SHAPE.pack(*astuple(one)) for one in shapes)


class Step(NamedTuple):
    """An op of a written program: operands by number, None for an empty slot."""

    kind: str
    inputs: list[int | None]
    outputs: list[int | None]
    tensors: list[int | None]
    cache: int | None
    u: tuple[int, ...]
    logit_rows: bool


@dataclass(frozen=True)
class Listing:
    """The contents of program.bin. values: (type, width) of each. tensors: by name, numbered in order.
    row_bytes: of the arena, for each token computed at once."""

    tensors: dict[str, Packed]
    values: list[tuple[str, int]]
    caches: list[Cache]
    states: list[State]
    ops: list[Step]
    vocab: int
    context: int
    chunk: int
    row_bytes: int
    weight_bytes: int

    @property
    def main_format(self) -> str:
        """The format of most weights, by bytes."""
        sizes: Counter[str] = Counter()
        for tensor in self.tensors.values():
            sizes[tensor.format] += tensor.bytes
        return sizes.most_common(1)[0][0]


def checked(path: str | Path) -> Tin:
    """A tin that the core has checked: no shape is zero, nothing reaches past its entry. Raises FormatError."""
    try:
        _core.Model(map_file(path))
    except RuntimeFault as fault:
        raise FormatError(f"{path}: {fault}") from fault
    return Tin(path)


def read_program(data: Buffer) -> Listing:
    """Raises FormatError for a damaged program.bin or one of another version."""
    position = _HEADER.size

    def take(kind: struct.Struct, count: int) -> Iterator[tuple[Any, ...]]:
        nonlocal position
        for _ in range(count):
            yield kind.unpack_from(data, position)
            position += kind.size

    try:
        magic, version, tensors, values, caches, ops, text, vocab, context, chunk, states, row, weights = (
            _HEADER.unpack_from(data)
        )
        if magic != _MAGIC or version != _core.PROGRAM_VERSION:
            raise FormatError("program.bin is of another version; build the file again")
        names = bytes(memoryview(data)[len(data) - text :])
        types = {number: name for name, number in _TYPES.items()}
        return Listing(
            dict(_packed(fields, names) for fields in take(_TENSOR, tensors)),
            [(types[number], width) for number, _, width, _ in take(_VALUE, values)],
            [Cache(*fields) for fields in take(_SHAPE, caches)],
            [State(*fields) for fields in take(_SHAPE, states)],
            [_step(fields) for fields in take(_OP, ops)],
            vocab,
            context,
            chunk,
            row,
            weights,
        )
    except (struct.error, ValueError, KeyError) as error:
        raise FormatError(f"program.bin is damaged: {error}; build the file again") from error


def _packed(fields: tuple[Any, ...], names: bytes) -> tuple[str, Packed]:
    number, rows, inputs, at, offset, size = fields
    formats = {kind.number: name for name, kind in WEIGHT_FORMATS.items()}
    return names[at : names.index(b"\0", at)].decode(), Packed(formats[number], rows, inputs, offset, size)


def _step(fields: tuple[Any, ...]) -> Step:
    kinds = {number: name for name, number in _core.OPS.items()}
    kind, flags, *slots = fields
    numbers = [None if slot == _NONE else slot for slot in slots[:15]]
    return Step(
        kinds[kind],
        numbers[:4],
        numbers[4:8],
        numbers[8:14],
        numbers[14],
        tuple(slots[15:18]),
        bool(flags & _core.FLAG_LOGIT_ROWS),
    )


def _encode(op: Op, values: dict[Value, int], tensors: dict[str, int]) -> bytes:
    def slots(items: Sequence[T | None], numbers: dict[T, int], count: int) -> list[int]:
        used = [_NONE if item is None else numbers[item] for item in items]
        return used + [_NONE] * (count - len(used))

    inputs, outputs = slots(op.inputs, values, 4), slots(op.outputs, values, 4)
    weights = slots(op.tensors, tensors, 6)
    flags = _core.FLAG_LOGIT_ROWS if op.logit_rows else 0
    cache = _NONE if op.cache is None else op.cache
    u = [*op.u, *[0] * (3 - len(op.u))]
    f = [*op.f, *[0.0] * (4 - len(op.f))]
    return _OP.pack(_core.OPS[op.kind], flags, *inputs, *outputs, *weights, cache, *u, *f)


def pack_weights(
    graph: Graph, places: Mapping[str, Packed], advance: Callable[[int], None] | None = None
) -> Iterator[Buffer]:
    """weights.bin in pieces, packed ahead on all cores: whole tiles of a matrix or a vector, and padding."""
    parts = [part for name, place in places.items() for part in _tiles(graph.tensors[name], place)]
    packed_parts = in_order(task for _, task in parts)
    for (tensor, _), packed in zip(parts, packed_parts, strict=True):
        yield packed
        forget(tensor.data)
        if advance is not None:
            advance(memoryview(packed).nbytes)


def _tiles(tensor: Tensor, place: Packed) -> Iterator[tuple[Tensor, Callable[[], Buffer]]]:
    def packed(begin: int, rows: int, padding: int) -> Buffer:
        data = memoryview(tensor.data).cast("B")
        width = len(data) // tensor.rows
        piece = data[begin * width : (begin + rows) * width]
        tiles = _core.pack(tensor.format, piece, rows, tensor.inputs) if tensor.rows > 1 else bytes(piece)
        return tiles + bytes(padding)

    step = max(1, _PIECE // tensor.inputs // _core.TILE) * _core.TILE
    for begin in range(0, tensor.rows, step):
        rows = min(step, tensor.rows - begin)
        padding = -place.bytes % _core.ALIGNMENT if begin + rows == tensor.rows else 0
        yield tensor, partial(packed, begin, rows, padding)
