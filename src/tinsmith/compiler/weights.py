"""weights.bin: a program's tensors, packed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from tinsmith import _core
from tinsmith.compiler.program import Packed
from tinsmith.graph import Graph
from tinsmith.spec import Buffer, Tensor
from tinsmith.system.files import forget
from tinsmith.system.parallel import in_order

_PIECE = 1 << 21  # weights packed by one task


def pack_weights(
    graph: Graph, places: Mapping[str, Packed], advance: Callable[[int], None] | None = None
) -> Iterator[Buffer]:
    """weights.bin in pieces, packed ahead on all cores: whole tiles of a matrix or a vector, and padding."""
    parts = [part for name, place in places.items() for part in _parts(graph.tensors[name], place)]
    packed_parts = in_order(task for _, task in parts)
    for (tensor, _), packed in zip(parts, packed_parts, strict=True):
        yield packed
        forget(tensor.data)
        if advance is not None:
            advance(memoryview(packed).nbytes)


def _parts(tensor: Tensor, place: Packed) -> Iterator[tuple[Tensor, Callable[[], Buffer]]]:
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
