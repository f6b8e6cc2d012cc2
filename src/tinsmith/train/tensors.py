"""A spec's tensors as float32 arrays, and back; files of torch's tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinsmith import _core
from tinsmith.models.family import TensorName
from tinsmith.spec import Tensor
from tinsmith.system.files import atomic_write


def to_float32(tensor: Tensor) -> Any:
    """A new, writable numpy array [rows, inputs] of the tensor's values, dequantized."""
    import numpy as np

    data = tensor.data
    if tensor.format != "F32":
        data = _core.dequantize(tensor.format, data, tensor.rows, tensor.inputs)
    return np.frombuffer(data, dtype=np.float32).reshape(tensor.rows, tensor.inputs).copy()


def to_folder(name: TensorName, tensor: Tensor) -> Any:
    """A spec's tensor in a Hugging Face folder's shape: numpy, float32, with all of a mixture's experts in
    sequence."""
    import numpy as np

    shape = (name.experts, *name.folder_shape) if name.experts else name.folder_shape
    if name.to_hf is None:
        return to_float32(tensor).reshape(shape)
    changed = name.to_folder(from_float32(to_float32(tensor)))
    return np.frombuffer(changed.data, dtype=np.float32).reshape(shape).copy()


def from_folder(name: TensorName, array: Any) -> Tensor:
    """The inverse of to_folder: an F32 tensor of the spec."""
    return name.from_folder(from_float32(array.reshape(name.all_rows, name.inputs)))


def from_float32(array: Any) -> Tensor:
    """An F32 tensor of a numpy array [rows, inputs]."""
    import numpy as np

    rows, inputs = array.shape
    return Tensor("F32", rows, inputs, np.ascontiguousarray(array, dtype=np.float32).tobytes())


def save(path: Path, tensors: Mapping[str, Any], metadata: dict[str, str] | None = None) -> None:
    """Writes torch's tensors as safetensors, atomically."""
    from safetensors.torch import save as to_bytes

    with atomic_write(path) as file:
        file.write(to_bytes({name: value.contiguous() for name, value in tensors.items()}, metadata))


def load(path: Path) -> dict[str, Any]:
    """torch's tensors in a safetensors file."""
    from safetensors.torch import load_file

    tensors: dict[str, Any] = load_file(path)
    return tensors


def below(prefix: str, tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors whose names begin with the prefix, named without it."""
    return {name.removeprefix(prefix): one for name, one in tensors.items() if name.startswith(prefix)}
