"""Importance matrices, read and written as llama.cpp's `llama-imatrix` does: GGUF files, and the older .dat.

For each matrix, by its name in GGUF, the sum of the squares of every input over some text, and how many there
were.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from tinsmith.errors import FormatError
from tinsmith.formats import gguf
from tinsmith.formats.gguf import Buffer
from tinsmith.system.files import atomic_write, map_file

_SUMS, _COUNTS = ".in_sum2", ".counts"
_LARGEST = 3.4028234663852886e38  # float32


@dataclass(frozen=True)
class Sums:
    """Of one matrix, or of all of a mixture's experts: `squares`, float32 [experts, inputs], the sum of each
    input's square; `counts`: the tokens that each expert saw, one number where there are no experts."""

    squares: Buffer
    counts: Sequence[int]


def write(path: str | Path, sums: Mapping[str, Sums], *, text: str, chunks: int, chunk: int) -> None:
    """By tensor name; GGUF, or the older format where the path ends in .dat. text: the calibration text's name;
    chunks: how many windows of it were read, of `chunk` tokens each."""
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
    """As _from_dat reads it, then int32 chunks, and the text's name with its length. Uses are windows, and sums
    those of the windows' means: what is divided by them is the mean."""
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
    """By tensor name, the mean square of each input: float32 [inputs], or [experts, inputs] of a mixture.

    An expert that the text never reached weighs all inputs alike. Raises FormatError for a file that is damaged
    or holds no such matrix, InputError where it can't be read.
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
        counts = tensors.get(name.removesuffix(_SUMS) + _COUNTS)
        if (
            counts is None
            or {sums.type.name, counts.type.name} != {"F32"}
            or _matrices(sums) != _matrices(counts)
        ):
            raise FormatError(f"{path}: {name!r} has no counts that fit it; the file is damaged")
        try:
            matrices[name.removesuffix(_SUMS)] = _given_means(_floats(sums), _floats(counts))
        except ValueError as error:
            raise FormatError(f"{path}: {name!r}: {error}; the file is damaged") from None
    return matrices


def _matrices(tensor: gguf.Tensor) -> int:
    return prod(tensor.shape[1:])


def _floats(tensor: gguf.Tensor) -> tuple[float, ...]:
    assert isinstance(tensor.data, Buffer)
    return struct.unpack(f"<{prod(tensor.shape)}f", tensor.data)


def _means(sums: Sequence[float], counts: Sequence[float]) -> bytes:
    inputs = len(sums) // len(counts)
    means = [
        sums[at + k] / count if count > 0 else 1.0
        for at, count in zip(range(0, len(sums), inputs), counts, strict=True)
        for k in range(inputs)
    ]
    return struct.pack(f"<{len(means)}f", *means)


def _given_means(sums: Sequence[float], counts: Sequence[float]) -> bytes:
    """Of a file's numbers. Raises ValueError for what no text gives."""
    if not all(0 <= one <= _LARGEST for one in sums) or not all(one == 0 or one >= 1 for one in counts):
        raise ValueError("a sum of squares is below 0 or no number, or a count is no number of tokens")
    return _means(sums, counts)


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
            matrices[name] = _given_means(sums, (float(uses),))
            at += 4 * inputs
    except (struct.error, ValueError) as error:
        why = "it ends too soon" if isinstance(error, struct.error) else error
        raise FormatError(f"{path}: no importance matrix, or damaged: {why}; fetch it again") from error
    return matrices
