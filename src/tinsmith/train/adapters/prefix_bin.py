"""Compiles a trained prefix for tinsmith's runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tinsmith import _core
from tinsmith.compiler.adapter import compile_prefix
from tinsmith.compiler.program import Listing
from tinsmith.errors import FormatError, InputError
from tinsmith.formats import safetensors
from tinsmith.models.family import Family, TensorName
from tinsmith.spec import Hyper
from tinsmith.system import reading
from tinsmith.train.adapters import peft_folder

CONFIG, WEIGHTS = peft_folder.PREFIX_CONFIG, peft_folder.PREFIX_WEIGHTS
KEYS, VALUES, CONVOLVED, RECURRENT = "keys", "values", "convolved", "recurrent"  # kinds of a layer's states


def is_prefix(folder: Path) -> bool:
    return (folder / CONFIG).exists()


def compiled(folder: Path, family: Family, hyper: Hyper, program: Listing, source: bytes) -> bytes:
    """The prefix in a folder, for a model of that family and sizes, as compile_prefix returns it. Raises
    InputError for a prefix of another base, FormatError for a damaged one."""
    import numpy as np

    config = reading.read_table(folder / CONFIG, FormatError)
    if config.get("family") != family.name:
        raise InputError(
            f"{folder}: the prefix is of the family {config.get('family')}, the model of {family.name}; "
            "give the one of its base"
        )
    names = {name.role: name for name in family.tensors(hyper)}
    path = folder / WEIGHTS
    left = safetensors.read(path)
    caches: list[bytes] = []
    states: list[bytes] = []
    for layer in range(hyper.layers):
        role = f"layers.{layer}"
        keys, values, convolved, recurrent = (
            _state(path, left, f"{layer}.{kind}", dimensions)
            for kind, dimensions in ((KEYS, 3), (VALUES, 3), (CONVOLVED, 2), (RECURRENT, 3))
        )
        if keys is not None and values is not None:
            if keys.shape != values.shape:
                raise FormatError(f"{path}: keys and values of layer {layer} differ in shape; train again")
            caches.append(np.stack([_turned(names.get(f"{role}.k"), keys), values], 1).tobytes())
        if convolved is not None:
            states.append(_tiled(_in_order(names.get(f"{role}.conv"), convolved).T[None]))
        if recurrent is not None and f"{role}.skip" in names:  # [heads, columns, rows] in transformers
            recurrent = recurrent.transpose(0, 2, 1)
        if recurrent is not None:
            states.append(_tiled(_in_order(names.get(f"{role}.beta"), recurrent)))
    if left:
        raise InputError(f"{folder}: has {next(iter(left))}, which the model lacks; give the one of its base")
    length = config.get("length")
    if not isinstance(length, int) or length < 1:
        raise FormatError(f"{folder / CONFIG}: length is {length!r}; it must be a number of tokens")
    try:
        return compile_prefix(length, caches, states, program, source)
    except InputError as error:
        raise InputError(f"{folder}: {error}") from error


def _state(path: Path, left: dict[str, safetensors.Tensor], name: str, dimensions: int) -> Any:
    """float32, taken out of `left`; None if the file has no such tensor."""
    import numpy as np

    if name not in left:
        return None
    tensor = left.pop(name)
    if tensor.dtype != "F32" or len(tensor.shape) != dimensions:
        raise FormatError(
            f"{path}: {name} is {tensor.dtype} of shape {list(tensor.shape)}; it must be F32 with "
            f"{dimensions} dimensions; train again"
        )
    return np.frombuffer(tensor.data, np.float32).reshape(tensor.shape)  # type: ignore[arg-type]


def _in_order(name: TensorName | None, state: Any) -> Any:
    """A folder's channels or heads, the first dimension, in the order of the matrix's rows in the spec."""
    order = peft_folder.spec_order(name) if name else None
    return state if order is None or len(order[0]) != len(state) else state[order[0]]


def _turned(name: TensorName | None, keys: Any) -> Any:
    """Keys [heads, tokens, head_dim] of a folder, each in the order of its matrix's rows in the spec."""
    heads, tokens, size = keys.shape
    rows = _in_order(name, keys.transpose(0, 2, 1).reshape(heads * size, tokens))
    return rows.reshape(heads, size, tokens).transpose(0, 2, 1)


def _tiled(state: Any) -> bytes:
    """[heads, rows, columns] in a session's layout."""
    import numpy as np

    heads, rows, columns = state.shape
    if columns % _core.TILE:
        raise InputError(f"a state of {columns} columns; the model has whole tiles of {_core.TILE}")
    tiles = state.reshape(heads, rows, columns // _core.TILE, _core.TILE)
    return np.ascontiguousarray(tiles.transpose(0, 2, 1, 3)).tobytes()
