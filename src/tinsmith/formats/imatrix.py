"""Importance matrices in the formats of llama.cpp's `llama-imatrix`: GGUF, and the older .dat.

A file has, for each matrix by its name in GGUF, the sums of each input's squares over a text, and the number of
tokens.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from tinsmith.errors import FormatError
from tinsmith.formats import gguf
from tinsmith.spec import Buffer
from tinsmith.system.files import atomic_write, map_file

_SUMS, _COUNTS = ".in_sum2", ".counts"
_LARGEST = 3.4028234663852886e38  # float32


@dataclass(frozen=True)
class Sums:
    """Of a matrix, or of all of a mixture's experts. squares: float32 [experts, inputs], the sum of each
    input's square. counts: tokens of each expert, or one number without experts."""

    squares: Buffer
    counts: Sequence[int]


def write(path: str | Path, sums: Mapping[str, Sums], *, text: str, chunks: int, chunk: int) -> None:
    """Writes sums by tensor name: as GGUF, or in the older format if the path ends in .dat. text: name of the
    calibration text. chunks: number of its windows, of `chunk` tokens each."""
    made = _to_dat(sums, text, chunks) if Path(path).suffix == ".dat" else _to_gguf(sums, text, chunks, chunk)
    with atomic_write(path) as file:
        file.write(made)


def _to_gguf(sums: Mapping[str, Sums], text: str, chunks: int, chunk: int) -> bytes:
    metadata = {
        "general.type": gguf.value("imatrix"),
        "imatrix.datasets": gguf.value([text]),
        "imatrix.chunk_count": gguf.value(chunks),
        "imatrix.chunk_size": gguf.value(chunk),
    }
    tensors, kind = [], gguf.tensor_type("F32")
    for name, one in sorted(sums.items()):
        experts = len(one.counts)
        inputs = memoryview(one.squares).nbytes // 4 // experts
        counts = struct.pack(f"<{experts}f", *one.counts)
        tensors.append(gguf.Tensor(name + _SUMS, kind, (inputs, experts), one.squares))
        tensors.append(gguf.Tensor(name + _COUNTS, kind, (1, experts), counts))
    return gguf.to_bytes(metadata, tensors)


def _to_dat(sums: Mapping[str, Sums], text: str, chunks: int) -> bytes:
    """The layout of _from_dat, then int32 chunks, and the text's name with its length. Uses count windows; sums
    are means multiplied by uses."""
    made = struct.pack("<i", len(sums))
    for name, one in sorted(sums.items()):
        means = _means(struct.unpack(f"<{memoryview(one.squares).nbytes // 4}f", one.squares), one.counts)
        values = [mean * chunks for mean in struct.unpack(f"<{len(means) // 4}f", means)]
        label = name.encode()
        made += struct.pack("<i", len(label)) + label + struct.pack("<2i", chunks, len(values))
        made += struct.pack(f"<{len(values)}f", *values)
    label = text.encode()
    return made + struct.pack("<2i", chunks, len(label)) + label


def read(path: str | Path) -> dict[str, bytes]:
    """The mean square of each input by tensor name: float32 [inputs], or [experts, inputs] of a mixture.

    All inputs of an expert without tokens have equal weights. Raises FormatError for a damaged file or one
    without a matrix, InputError for a file that can't be read.
    """
    path = Path(path)
    matrices = _from_gguf(path) if bytes(map_file(path)[:4]) == gguf.MAGIC else _from_dat(path)
    if not matrices:
        raise FormatError(f"{path}: holds no importance matrix; make one with tinsmith quantize --type imatrix")
    return matrices


def _from_gguf(path: Path) -> dict[str, bytes]:
    tensors = gguf.read(path).tensors
    matrices: dict[str, bytes] = {}
    for name, sums in tensors.items():
        if not name.endswith(_SUMS):
            continue
        matrix = name.removesuffix(_SUMS)
        counts = tensors.get(matrix + _COUNTS)
        is_float = counts is not None and {sums.type.name, counts.type.name} == {"F32"}
        if counts is None or not is_float or prod(sums.shape[1:]) != prod(counts.shape[1:]):
            raise FormatError(f"{path}: {name!r} has no counts that fit it; the file is damaged")
        try:
            matrices[matrix] = _means(_floats(sums), _floats(counts))
        except ValueError as error:
            raise FormatError(f"{path}: {name!r}: {error}; the file is damaged") from None
    return matrices


def _floats(tensor: gguf.Tensor) -> tuple[float, ...]:
    assert isinstance(tensor.data, Buffer)
    return struct.unpack(f"<{prod(tensor.shape)}f", tensor.data)


def _means(sums: Sequence[float], counts: Sequence[float]) -> bytes:
    """float32 [experts, inputs]. Raises ValueError for impossible numbers."""
    if not all(0 <= one <= _LARGEST for one in sums) or not all(one == 0 or one >= 1 for one in counts):
        raise ValueError("a sum of squares is below 0 or no number, or a count is no number of tokens")
    inputs = len(sums) // len(counts)
    means = [
        sums[at + k] / count if count > 0 else 1.0
        for at, count in zip(range(0, len(sums), inputs), counts, strict=True)
        for k in range(inputs)
    ]
    return struct.pack(f"<{len(means)}f", *means)


def _from_dat(path: Path) -> dict[str, bytes]:
    """int32 matrices; for each: int32 length and name, int32 uses, int32 inputs, float32 sums of means."""
    data = map_file(path)
    matrices: dict[str, bytes] = {}
    try:
        (count,) = struct.unpack_from("<i", data)
        at = 4
        for _ in range(count):
            (length,) = struct.unpack_from("<i", data, at)
            name = bytes(data[at + 4 : at + 4 + length]).decode("utf-8")
            uses, inputs = struct.unpack_from("<2i", data, at + 4 + length)
            at += 12 + length
            if length <= 0 or inputs <= 0 or at + 4 * inputs > len(data):
                raise ValueError(f"matrix {len(matrices)} does not lie in the file")
            sums = struct.unpack_from(f"<{inputs}f", data, at)
            matrices[name] = _means(sums, (float(uses),))
            at += 4 * inputs
    except (struct.error, ValueError) as error:
        why = "it ends too soon" if isinstance(error, struct.error) else error
        raise FormatError(f"{path}: no importance matrix, or damaged: {why}; fetch it again") from error
    return matrices
