"""GGUF, versions 2 and 3, little-endian: metadata with value types, tensors as slices of the file's map.

Layout: magic, version, tensor count, key count; keys; tensor infos; padding to the alignment; tensors, each at
an aligned offset. Strings that are not UTF-8 become surrogate escapes, so that writing a file that was read
gives the same bytes.
"""

from __future__ import annotations

import io
import re
import reprlib
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.formats.weights import WEIGHT_FORMATS, in_gguf
from tinsmith.spec import Buffer
from tinsmith.system.files import atomic_write, map_file

MAGIC = b"GGUF"
VERSIONS = (2, 3)
ALIGNMENT = 32
_SPLIT = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf")
_MAX_DIMENSIONS = 4
_MAX_DEPTH = 4  # arrays in arrays


@dataclass(frozen=True)
class TensorType:
    """A block layout: `block` inputs in `size` bytes."""

    id: int
    name: str
    block: int
    size: int


# GGUF's types that are not tinsmith's weight formats.
_OTHERS = (
    TensorType(9, "Q8_1", 32, 40),
    TensorType(15, "Q8_K", 256, 292),
    TensorType(19, "IQ1_S", 256, 50),
    TensorType(24, "I8", 1, 1),
    TensorType(25, "I16", 1, 2),
    TensorType(26, "I32", 1, 4),
    TensorType(27, "I64", 1, 8),
    TensorType(28, "F64", 1, 8),
    TensorType(29, "IQ1_M", 256, 56),
    TensorType(39, "MXFP4", 32, 17),
    TensorType(40, "NVFP4", 64, 36),
    TensorType(41, "Q1_0", 128, 18),
)
_WEIGHTS = (
    TensorType(kind.gguf, name, kind.block, kind.bytes)
    for name, kind in WEIGHT_FORMATS.items()
    if in_gguf(name) == name
)
TENSOR_TYPES = tuple(sorted((*_OTHERS, *_WEIGHTS), key=lambda kind: kind.id))
_TYPE_BY_ID = {kind.id: kind for kind in TENSOR_TYPES}
_TYPE_BY_NAME = {kind.name: kind for kind in TENSOR_TYPES}


def tensor_type(name: str) -> TensorType:
    if name not in _TYPE_BY_NAME:
        raise UnsupportedError(f"{name!r} is no GGUF tensor type; known: {', '.join(_TYPE_BY_NAME)}")
    return _TYPE_BY_NAME[name]


class ValueType(IntEnum):
    UINT8 = 0
    INT8 = 1
    UINT16 = 2
    INT16 = 3
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    UINT64 = 10
    INT64 = 11
    FLOAT64 = 12


_NUMBERS = [kind for kind in ValueType if kind not in (ValueType.STRING, ValueType.ARRAY)]
_CODES = dict(zip(_NUMBERS, "BbHhIif?Qqd", strict=True))  # as struct names them


@dataclass(frozen=True)
class Value:
    """A metadata value: int, float, bool or str; for ARRAY a list of items of type `item`, which are Values if
    `item` is ARRAY."""

    type: ValueType
    value: Any
    item: ValueType | None = None


def value(given: Any) -> Value:
    """The usual type of a Python value: BOOL, UINT32 (INT32 below zero; 64 bits if needed), FLOAT32, STRING, or
    an array."""
    if isinstance(given, (list, tuple)):
        kinds = {value(item).type for item in given}
        if len(kinds) > 1:
            raise UnsupportedError(f"a GGUF array has items of one type; given {sorted(k.name for k in kinds)}")
        return Value(ValueType.ARRAY, list(given), kinds.pop() if kinds else ValueType.STRING)
    if isinstance(given, bool):
        return Value(ValueType.BOOL, given)
    if isinstance(given, int):
        wide = not -(1 << 31) <= given < 1 << 32
        names = ("INT64", "INT32") if given < 0 else ("UINT64", "UINT32")
        return Value(ValueType[names[0] if wide else names[1]], given)
    if isinstance(given, float):
        return Value(ValueType.FLOAT32, given)
    if isinstance(given, str):
        return Value(ValueType.STRING, given)
    raise UnsupportedError(
        f"GGUF metadata can't hold a {type(given).__name__}; allowed: bool, int, float, str, lists of them"
    )


@dataclass(frozen=True)
class Tensor:
    """shape: in GGUF's order, row length first. data: exactly `size` bytes, whole or in pieces."""

    name: str
    type: TensorType
    shape: tuple[int, ...]
    data: Buffer | Iterable[Buffer]

    @property
    def size(self) -> int:
        return prod(self.shape) // self.type.block * self.type.size


@dataclass(frozen=True)
class Gguf:
    """An open file, which must not change while its tensors, slices of its map, are used."""

    path: Path
    version: int
    metadata: dict[str, Value]
    tensors: dict[str, Tensor]

    @property
    def values(self) -> dict[str, Any]:
        """The metadata as plain values."""
        return {key: entry.value for key, entry in self.metadata.items()}

    def get(self, key: str, default: Any = None) -> Any:
        entry = self.metadata.get(key)
        return default if entry is None else entry.value


def read(path: str | Path) -> Gguf:
    """Opens a GGUF and checks every count, length, type and offset against the file's size.

    path: of a split model the first part (…-00001-of-00003.gguf), with the others beside it. Raises FormatError
    for a damaged or other file or a missing part, UnsupportedError for an unknown version or tensor type,
    InputError for a file that can't be read.
    """
    first = _read_one(_Cursor(map_file(path), Path(path)))
    count = first.get("split.count", 1)
    if not isinstance(count, int) or count <= 1:
        return first
    match = _SPLIT.fullmatch(first.path.name)
    if match is None or int(match[3]) != count:
        raise FormatError(
            f"{path}: one of {count} parts of a split GGUF, but not called NAME-00001-of-{count:05}.gguf; "
            "give the parts their names back, or join them with llama.cpp's llama-gguf-split --merge"
        )
    names = [f"{match[1]}-{part:05}-of-{count:05}.gguf" for part in range(1, count + 1)]
    if first.path.name != names[0]:
        raise FormatError(f"{path}: a later part of a split GGUF; give the first, {names[0]}")
    tensors = dict(first.tensors)
    for part, name in enumerate(names[1:], 1):
        beside = first.path.with_name(name)
        other = _read_one(_Cursor(map_file(beside), beside))
        if other.get("split.count") != count or other.get("split.no") != part:
            raise FormatError(f"{other.path}: not part {part + 1} of {count} of the split GGUF beside it")
        repeated = tensors.keys() & other.tensors.keys()
        if repeated:
            raise FormatError(f"{other.path}: tensor {min(repeated)!r} is in an earlier part too")
        tensors |= other.tensors
    expected = first.get("split.tensors.count", len(tensors))
    if expected != len(tensors):
        raise FormatError(f"{path}: {count} parts hold {len(tensors)} tensors of {expected}; fetch them again")
    metadata = {key: entry for key, entry in first.metadata.items() if not key.startswith("split.")}
    return Gguf(first.path, first.version, metadata, tensors)


def not_one(path: Path, begins: bytes) -> FormatError:
    """The error for a file that begins with other bytes."""
    if begins == b"PK\3\4":
        return FormatError(
            f"{path}: not a GGUF file but a tin, or another ZIP file; a tin's own GGUF file is given by "
            f"tinsmith export {path.name} --gguf OUT"
        )
    return FormatError(f"{path}: not a GGUF file: it starts with {begins!r}, not {MAGIC!r}")


def _read_one(cursor: _Cursor) -> Gguf:
    file, offsets, alignment = _read_header(cursor)
    return replace(file, tensors=_place(cursor, file.tensors, offsets, alignment))


def _read_header(cursor: _Cursor) -> tuple[Gguf, list[int], int]:
    """The file with empty tensors, their offsets, and the alignment; leaves the cursor at the first tensor."""
    path = cursor.path
    if bytes(cursor.data[:4]) != MAGIC:
        raise not_one(path, bytes(cursor.data[:4]))
    cursor.position = 4
    version = cursor.number("I", "the version")
    if version not in VERSIONS:
        if version & 0xFFFF == 0:
            raise UnsupportedError(f"{path}: a big-endian GGUF; tinsmith reads little-endian ones, convert it")
        raise UnsupportedError(f"{path}: GGUF version {version}; tinsmith reads versions 2 and 3, convert it")
    tensor_count = cursor.count("the tensor count", least=32)
    key_count = cursor.count("the key count", least=13)
    metadata: dict[str, Value] = {}
    for index in range(key_count):
        key = cursor.string(f"the name of key {index}")
        if key in metadata:
            raise FormatError(f"{path}: key {key!r} stands twice; the file is damaged")
        metadata[key] = cursor.typed(f"key {key!r}")
    tensors: dict[str, Tensor] = {}
    offsets = []
    for index in range(tensor_count):
        tensor, offset = cursor.tensor(index)
        if tensor.name in tensors:
            raise FormatError(f"{path}: tensor {tensor.name!r} stands twice; the file is damaged")
        tensors[tensor.name] = tensor
        offsets.append(offset)
    alignment = _alignment(metadata, str(path))
    cursor.position = -(-cursor.position // alignment) * alignment
    return Gguf(path, version, metadata, tensors), offsets, alignment


def read_header(data: Buffer, where: str) -> tuple[Gguf, memoryview]:
    """The file whose start `header` made, with empty tensors; and the rest of the data. Raises as `read`."""
    cursor = _Cursor(memoryview(data).cast("B"), Path(where))
    file, _, _ = _read_header(cursor)
    return file, cursor.data[cursor.position :]


def read_bytes(data: memoryview, where: str) -> Gguf:
    """As `read`, for a file in memory that is not split."""
    return _read_one(_Cursor(data, Path(where)))


def _alignment(metadata: Mapping[str, Value], where: str) -> int:
    entry = metadata.get("general.alignment")
    if entry is None:
        return ALIGNMENT
    given = entry.value
    if not isinstance(given, int) or given < 8 or given % 8 or given > 1 << 20:
        raise FormatError(
            f"{where}: general.alignment is {reprlib.repr(given)}; allowed: a multiple of 8, up to 1 MiB"
        )
    return given


def _place(
    cursor: _Cursor, tensors: Mapping[str, Tensor], offsets: Sequence[int], alignment: int
) -> dict[str, Tensor]:
    """The tensors with their data."""
    start, placed = cursor.position, dict[str, Tensor]()
    spans: list[tuple[int, int, str]] = []
    for (name, tensor), offset in zip(tensors.items(), offsets, strict=True):
        if offset % alignment:
            raise FormatError(
                f"{cursor.path}: tensor {name!r} has offset {offset}, no multiple of {alignment}"
                "the file is damaged"
            )
        cursor.position = begin = start + offset
        placed[name] = replace(tensor, data=cursor.take(tensor.size, f"tensor {name!r}"))
        spans.append((begin, cursor.position, name))
    spans.sort()
    for (_, end, first), (begin, _, second) in pairwise(spans):
        if begin < end:
            raise FormatError(f"{cursor.path}: tensors {first!r} and {second!r} overlap; the file is damaged")
    return placed


class _Cursor:
    """Reads forward through the map, and checks every read against the file's end."""

    def __init__(self, data: memoryview, path: Path) -> None:
        self.data = data
        self.path = path
        self.position = 0

    def truncated(self, what: str, need: int) -> NoReturn:
        raise FormatError(
            f"{self.path}: {what} at byte {self.position} needs {need} bytes, but the file has "
            f"{len(self.data)}; it is truncated or damaged, fetch it again"
        )

    def take(self, size: int, what: str) -> memoryview:
        end = self.position + size
        if end > len(self.data):
            self.truncated(what, size)
        piece = self.data[self.position : end]
        self.position = end
        return piece

    def number(self, code: str, what: str) -> Any:
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code), what))[0]

    def count(self, what: str, least: int) -> int:
        """A count of items of at least `least` bytes; fails if the file can't hold them."""
        at = self.position
        count: int = self.number("Q", what)
        if count * least > len(self.data) - self.position:
            raise FormatError(
                f"{self.path}: {what} at byte {at} is {count}, more than the file's {len(self.data)} bytes "
                "can hold; it is truncated or damaged, fetch it again"
            )
        return count

    def string(self, what: str) -> str:
        size = self.count(f"the length of {what}", least=1)
        return str(self.take(size, what), "utf-8", "surrogateescape")

    def value_type(self, what: str) -> ValueType:
        at = self.position
        code = self.number("I", f"the type of {what}")
        if code not in ValueType._value2member_map_:
            raise FormatError(
                f"{self.path}: {what} at byte {at} has value type {code}; known: 0 to {max(ValueType):d}; "
                "the file is damaged or from a newer GGUF"
            )
        return ValueType(code)

    def typed(self, what: str, depth: int = 0) -> Value:
        kind = self.value_type(what)
        if kind == ValueType.ARRAY:
            return self.array(what, depth)
        if kind == ValueType.STRING:
            return Value(kind, self.string(what))
        return Value(kind, self.number(_CODES[kind], what))

    def array(self, what: str, depth: int) -> Value:
        if depth == _MAX_DEPTH:
            raise FormatError(f"{self.path}: {what} nests over {_MAX_DEPTH} arrays; the file is damaged")
        item = self.value_type(what)
        if item == ValueType.ARRAY:
            count = self.count(f"the length of {what}", least=12)
            return Value(ValueType.ARRAY, [self.array(what, depth + 1) for _ in range(count)], item)
        if item == ValueType.STRING:
            return Value(ValueType.ARRAY, self.strings(what), item)
        width = struct.calcsize("<" + _CODES[item])
        count = self.count(f"the length of {what}", least=width)
        piece = self.take(count * width, what)
        return Value(ValueType.ARRAY, list(struct.unpack(f"<{count}{_CODES[item]}", piece)), item)

    def strings(self, what: str) -> list[str]:
        # A vocabulary has 50,000 to 260,000 strings: a tight loop over local names.
        count = self.count(f"the length of {what}", least=8)
        data, position, end = self.data, self.position, len(self.data)
        length_at = struct.Struct("<Q").unpack_from
        strings: list[str] = []
        for index in range(count):
            begin = position + 8
            stop = begin + length_at(data, position)[0] if begin <= end else begin
            if stop > end:
                self.position = position
                self.truncated(f"item {index} of {what}", stop - position)
            strings.append(str(data[begin:stop], "utf-8", "surrogateescape"))
            position = stop
        self.position = position
        return strings

    def tensor(self, index: int) -> tuple[Tensor, int]:
        """A tensor without data, and its offset."""
        name = self.string(f"the name of tensor {index}")
        what = f"tensor {name!r}"
        dimensions = self.number("I", f"the dimensions of {what}")
        if not 1 <= dimensions <= _MAX_DIMENSIONS:
            raise FormatError(
                f"{self.path}: {what} has {dimensions} dimensions; allowed: 1 to {_MAX_DIMENSIONS}; "
                "the file is damaged"
            )
        shape = tuple(self.number("Q", f"the shape of {what}") for _ in range(dimensions))
        type_id = self.number("I", f"the type of {what}")
        kind = _TYPE_BY_ID.get(type_id)
        if kind is None:
            raise UnsupportedError(
                f"{self.path}: {what} has tensor type {type_id}; known: "
                + ", ".join(f"{known.id} {known.name}" for known in TENSOR_TYPES)
            )
        if not all(shape) or shape[0] % kind.block:
            raise FormatError(
                f"{self.path}: {what} has shape {shape}; {kind.name} needs rows of a multiple of {kind.block} "
                "and no empty dimension; the file is damaged"
            )
        return Tensor(name, kind, shape, b""), self.number("Q", f"the offset of {what}")


def write(path: str | Path, metadata: Mapping[str, Value], tensors: Iterable[Tensor]) -> None:
    """Writes a version 3 file, atomically, with keys and tensors in the given order.

    The same arguments give the same bytes. Raises FormatError for data of another size than type and shape
    require.
    """
    with atomic_write(path) as file:
        _write(file, metadata, list(tensors))


def to_bytes(metadata: Mapping[str, Value], tensors: Sequence[Tensor]) -> bytes:
    """The file of `write`, for short files."""
    file = io.BytesIO()
    _write(file, metadata, tensors)
    return file.getvalue()


def _write(file: BinaryIO, metadata: Mapping[str, Value], tensors: Sequence[Tensor]) -> None:
    alignment = _alignment(metadata, "the metadata")
    file.write(header(metadata, tensors))
    for tensor in tensors:
        pieces = [tensor.data] if isinstance(tensor.data, Buffer) else tensor.data
        written = sum(file.write(piece) for piece in pieces)
        if written != tensor.size:
            raise FormatError(f"tensor {tensor.name!r} has {written} bytes; its shape takes {tensor.size}")
        file.write(bytes(-written % alignment))


def header(metadata: Mapping[str, Value], tensors: Sequence[Tensor]) -> bytes:
    """The start of the file of `write`, up to the first tensor's data, which may be missing."""
    alignment = _alignment(metadata, "the metadata")
    made = bytearray(MAGIC + struct.pack("<IQQ", VERSIONS[-1], len(tensors), len(metadata)))
    for key, entry in metadata.items():
        made += _string(key) + struct.pack("<I", entry.type) + _payload(key, entry)
    offset = 0
    for tensor in tensors:
        if len(tensor.shape) not in range(1, _MAX_DIMENSIONS + 1) or tensor.shape[0] % tensor.type.block:
            raise FormatError(
                f"tensor {tensor.name!r} has shape {tensor.shape}; {tensor.type.name} needs 1 to "
                f"{_MAX_DIMENSIONS} dimensions, the first a multiple of {tensor.type.block}"
            )
        made += _string(tensor.name) + struct.pack("<I", len(tensor.shape))
        made += struct.pack(f"<{len(tensor.shape)}QIQ", *tensor.shape, tensor.type.id, offset)
        offset += -(-tensor.size // alignment) * alignment
    return bytes(made + bytes(-len(made) % alignment))


def _string(text: str) -> bytes:
    encoded = text.encode("utf-8", "surrogateescape")
    return struct.pack("<Q", len(encoded)) + encoded


def _payload(key: str, entry: Value) -> bytes:
    if entry.type == ValueType.STRING:
        return _string(entry.value)
    try:
        if entry.type != ValueType.ARRAY:
            return struct.pack("<" + _CODES[entry.type], entry.value)
        assert entry.item is not None, key
        head = struct.pack("<IQ", entry.item, len(entry.value))
        if entry.item == ValueType.STRING:
            return head + b"".join(map(_string, entry.value))
        if entry.item == ValueType.ARRAY:
            return head + b"".join(_payload(key, inner) for inner in entry.value)
        return head + struct.pack(f"<{len(entry.value)}{_CODES[entry.item]}", *entry.value)
    except (struct.error, OverflowError) as error:
        raise FormatError(
            f"key {key!r}: {reprlib.repr(entry.value)} does not fit {entry.type.name}: {error}"
        ) from error
