"""safetensors: eight bytes of header length, a JSON header, then the tensors, row-major."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.spec import Buffer
from tinsmith.system import names, reading
from tinsmith.system.files import atomic_write, map_file

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_MAX_HEADER = 100_000_000  # as in the reference implementation

ITEM_SIZES = {
    **dict.fromkeys(("F64", "I64", "U64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "I8", "U8", "BOOL"), 1),
}


@dataclass(frozen=True)
class Tensor:
    """data: exactly `size` bytes, whole, or in pieces for writing."""

    dtype: str
    shape: tuple[int, ...]
    data: Buffer | Iterable[Buffer]

    @property
    def size(self) -> int:
        return prod(self.shape) * ITEM_SIZES[self.dtype]


def read(path: str | Path) -> dict[str, Tensor]:
    """The file's tensors, in the header's order, as slices of its map.

    Raises FormatError for a damaged file, UnsupportedError for an unknown type, InputError for a missing file.
    """
    path = Path(path)
    data = map_file(path)
    if len(data) < 8:
        raise FormatError(f"{path}: {len(data)} bytes are no safetensors file; fetch it again")
    length = struct.unpack_from("<Q", data)[0]
    if length > min(len(data) - 8, _MAX_HEADER):
        raise FormatError(f"{path}: a header of {length} bytes in {len(data)}; it is truncated or another file")
    advice = "the file is damaged, fetch it again"
    header = reading.json(data[8 : 8 + length], f"{path}: the header", FormatError, unique=True, advice=advice)
    if not isinstance(header, dict):
        raise FormatError(f"{path}: the header is not a table; the file is damaged, fetch it again")
    header.pop("__metadata__", None)
    body = data[8 + length :]
    return {name: _tensor(path, name, entry, body) for name, entry in header.items()}


def _tensor(path: Path, name: str, entry: Any, body: memoryview) -> Tensor:
    try:
        dtype, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        whole = type(dtype) is str and all(type(n) is int and n >= 0 for n in (*shape, begin, end))
    except (TypeError, KeyError, ValueError):
        whole = False
    if not whole:
        raise FormatError(f"{path}: tensor {name!r} is not described as dtype, shape and data_offsets")
    if dtype not in ITEM_SIZES:
        raise UnsupportedError(f"{path}: tensor {name!r} is of type {dtype!r}; known: {', '.join(ITEM_SIZES)}")
    if not begin <= end <= len(body):
        raise FormatError(f"{path}: tensor {name!r} ends at byte {end} of {len(body)}; fetch it again")
    tensor = Tensor(dtype, shape, body[begin:end])
    if tensor.size != end - begin:
        raise FormatError(f"{path}: {name!r} has {end - begin} bytes; {dtype} {shape} takes {tensor.size}")
    return tensor


def read_folder(folder: str | Path) -> dict[str, Tensor]:
    """The tensors of a Hugging Face folder: of model.safetensors, or of the shards in its index."""
    folder = Path(folder)
    index = folder / INDEX
    if not index.exists():
        if not (folder / SINGLE).exists():
            pickles = sorted(folder.glob("*.bin"))
            instead = f"; {pickles[0].name} is a pickle, which may run code: convert it" if pickles else ""
            raise FormatError(f"{folder}: neither {SINGLE} nor {INDEX} is there{instead}")
        return read(folder / SINGLE)
    weight_map = reading.read_table(index, FormatError, advice="fetch it again").get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(shard, str) for shard in weight_map.values()):
        raise FormatError(f"{index}: no weight_map of tensor names to file names; fetch it again")
    shards = sorted(set(weight_map.values()))
    if not all(names.is_inside(shard) and "/" not in shard for shard in shards):
        raise FormatError(f"{index}: a shard lies outside of the folder; allowed: plain file names")
    tensors: dict[str, Tensor] = {}
    for shard in shards:
        tensors |= read(folder / shard)
    missing = weight_map.keys() - tensors.keys()
    if missing:
        name = min(missing)
        raise FormatError(f"{index}: tensor {name!r} is not in {weight_map[name]}; fetch the folder again")
    return tensors


def write(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Writes the file atomically, wider types first for alignment. The same arguments give the same bytes.

    Raises FormatError for data of another size than type and shape require.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    ordered = sorted(tensors.items(), key=lambda item: -ITEM_SIZES[item[1].dtype])
    offset = 0
    for name, tensor in ordered:
        end = offset + tensor.size
        header[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    encoded = json.dumps(header, separators=(",", ":")).encode("utf-8")
    encoded += b" " * (-len(encoded) % 8)
    with atomic_write(path) as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        for name, tensor in ordered:
            pieces = [tensor.data] if isinstance(tensor.data, Buffer) else tensor.data
            written = sum(file.write(piece) for piece in pieces)
            if written != tensor.size:
                raise FormatError(f"tensor {name!r} has {written} bytes; {tensor.shape} takes {tensor.size}")
