"""A spec's tensors from a Hugging Face folder and back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.formats import safetensors
from tinsmith.formats.weights import to_float32
from tinsmith.spec import Buffer, Tensor
from tinsmith.system.files import write_text
from tinsmith.tensor_names import TensorName

# Weight formats of safetensors, and their names in transformers.
FLOATS = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
# Key of Spec.general in config.json; transformers preserves unknown keys.
GENERAL = "gguf_general"


def read_tensor(folder: Path, name: TensorName, stored: Mapping[str, safetensors.Tensor]) -> Tensor:
    parts = [_part(folder, part, name.folder_shape, stored[part]) for part in name.folder_names]
    format = parts[0].dtype
    if any(part.dtype != format for part in parts):
        raise UnsupportedError(f"{folder}: experts of {name.hf!r} are of several types; convert them to one")
    pieces = [part.data for part in parts if isinstance(part.data, Buffer)]
    data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    if name.all_rows == 1:
        return name.from_folder(to_float32(Tensor(format, 1, name.inputs, data)))
    return name.from_folder(Tensor(format, name.all_rows, name.inputs, data))


def _part(folder: Path, name: str, shape: tuple[int, ...], stored: safetensors.Tensor) -> safetensors.Tensor:
    if stored.shape != shape:
        raise FormatError(f"{folder}: tensor {name!r} has shape {stored.shape}; config.json says {shape}")
    if stored.dtype not in FLOATS:
        raise UnsupportedError(f"{folder}: tensor {name!r} is {stored.dtype}; supported: {', '.join(FLOATS)}")
    return stored


def stored_tensors(name: TensorName, tensor: Tensor) -> Iterator[tuple[str, safetensors.Tensor]]:
    tensor = name.to_folder(tensor)
    data = memoryview(tensor.data)
    size = len(data) // len(name.folder_names)
    for k, part in enumerate(name.folder_names):
        yield part, safetensors.Tensor(tensor.format, name.folder_shape, data[k * size : (k + 1) * size])


def write_json(path: Path, table: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(table, indent=2, sort_keys=True) + "\n")
