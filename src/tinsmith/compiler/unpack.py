"""Converts a tin back to GGUF files, byte for byte as models.save_gguf and save_mmproj write them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from math import lcm, prod
from pathlib import Path

from tinsmith import _core
from tinsmith.compiler.build import GGUF_HEADER
from tinsmith.compiler.program import Packed, checked, read_program
from tinsmith.compiler.vision import PROGRAM, WEIGHTS, own_tensors
from tinsmith.errors import FormatError
from tinsmith.formats import gguf
from tinsmith.formats.tin import Tin
from tinsmith.formats.weights import in_gguf, restated
from tinsmith.layouts import reordered
from tinsmith.models import mmproj
from tinsmith.models.gguf_spec import general_of, read_header, read_words
from tinsmith.spec import Buffer, Tensor, Tokenizer, Vision
from tinsmith.system.parallel import in_order
from tinsmith.vision.facts import from_facts

_PIECE = 1 << 21  # weights unpacked by one task


def write_gguf(source: str | Path, target: str | Path, advance: Callable[[int], None] | None = None) -> None:
    """Writes the GGUF file of the tin's model, atomically, in pieces.

    advance: called with the bytes of each piece. Raises FormatError for a tin that is damaged or has no GGUF
    header, InputError for a file that can't be read or written.
    """
    file = Tin(source)
    file.verify()
    checked(source)
    before, names, rest = read_header(*_header(file))
    packed, weights = read_program(file.entry("program.bin")).tensors, file.entry("weights.bin")

    def stored(tensor: gguf.Tensor) -> gguf.Tensor:
        if tensor.name in rest:
            return rest[tensor.name]
        name = names.get(tensor.name)
        place = packed.get(name.role) if name else None
        if name is None or place is None:
            raise FormatError(f"{source}: tensor {tensor.name!r} is not in the tin; build it again")
        if (in_gguf(place.format), name.all_rows * place.inputs) != (tensor.type.name, prod(tensor.shape)):
            raise FormatError(f"{source}: {GGUF_HEADER} and program.bin disagree on {tensor.name!r}; rebuild")
        if place.offset + place.bytes > len(weights):
            raise FormatError(f"{source}: tensor {tensor.name!r} lies outside of weights.bin; build it again")
        data = weights[place.offset : place.offset + place.bytes]
        rows = range(name.first_row, min(name.first_row + name.all_rows, place.rows))
        packed_pieces = _pieces(place, data, rows, name.file_order, advance)
        pieces = (restated(piece, place.format, tensor.type.name) for piece in packed_pieces)
        return gguf.Tensor(tensor.name, tensor.type, tensor.shape, pieces)

    gguf.write(target, before.metadata, map(stored, before.tensors.values()))


def write_mmproj(source: str | Path, target: str | Path) -> bool:
    """Writes the vision model's GGUF file. Returns whether the tin has one. Raises as write_gguf does."""
    file = Tin(source)
    file.verify()
    vision = vision_of(file)
    if vision is not None:
        mmproj.write(vision, general_of(read_header(*_header(file))[0]), target)
    return vision is not None


def vision_of(file: Tin) -> Vision | None:
    """The vision model of a verified tin, with its original tensors; None for a tin without one."""
    facts = file.manifest.get("vision")
    if facts is None:
        return None
    where = f"{file.where}: manifest.json: vision"
    vision = from_facts({key: value for key, value in facts.items() if key != "patches"}, where)
    weights = file.entry(WEIGHTS)
    tensors = {}
    for role, place in read_program(file.entry(PROGRAM)).tensors.items():
        data = weights[place.offset : place.offset + place.bytes]
        rows = b"".join(_pieces(place, data, range(place.rows), (0,), None))
        tensors[role] = Tensor(place.format, place.rows, place.inputs, rows)
    try:
        own = own_tensors(vision, tensors)
    except KeyError as error:
        raise FormatError(f"{file.where}: vision tensor {error} is missing; build it again") from None
    return replace(vision, tensors=own)


def words_of(file: Tin) -> tuple[Tokenizer, str | None]:
    """The tokenizer, and any chat template, of the same model's GGUF file. Raises FormatError for a tin without
    GGUF header."""
    return read_words(read_header(*_header(file))[0])


def _header(file: Tin) -> tuple[memoryview, str]:
    """The GGUF header, and its name in errors."""
    if GGUF_HEADER not in file.names:
        raise FormatError(f"{file.where}: has no {GGUF_HEADER}; build it again: tinsmith build MODEL")
    return file.entry(GGUF_HEADER), f"{file.where}: {GGUF_HEADER}"


def _pieces(
    place: Packed, data: memoryview, wanted: range, order: Sequence[int], advance: Callable[[int], None] | None
) -> Iterator[Buffer]:
    """wanted: the rows, from the beginning of a tile."""
    if place.rows == 1:
        yield data
        return
    run = lcm(_core.TILE, len(order))
    step = max(1, _PIECE // place.inputs // run) * run
    width = len(data) // (-(-place.rows // _core.TILE) * _core.TILE)

    def unpack(begin: int) -> Buffer:
        end = min(begin + step, wanted.stop)
        last = -(-end // _core.TILE) * _core.TILE
        rows = _core.unpack(place.format, data[begin * width : last * width], end - begin, place.inputs)
        return reordered(rows, width, order)

    for piece in in_order(partial(unpack, begin) for begin in wanted[::step]):
        yield piece
        if advance is not None:
            advance(memoryview(piece).nbytes)
