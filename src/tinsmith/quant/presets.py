"""Presets: the names people know, as a choice of format by role."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from tinsmith import _core
from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.formats.weights import weight_format
from tinsmith.models.spec import Buffer, Spec, Tensor


class Preset(NamedTuple):
    """The format of the matrices; the format of the embedding and the head, whose errors reach every token; and
    the parts of a layer that take the latter too, being small and costly where they are wrong."""

    matrices: str
    embeddings: str
    finer: tuple[str, ...] = ()


PRESETS = {
    "F32": Preset("F32", "F32"),
    "F16": Preset("F16", "F16"),
    "Q8_0": Preset("Q8_0", "Q8_0"),
    "Q4_0": Preset("Q4_0", "Q8_0", finer=("k", "v", "o")),
}


def format_of(preset: str, role: str) -> str:
    """The format that a preset gives to the matrix of a role. Raises UnsupportedError for an unknown preset."""
    if preset not in PRESETS:
        raise UnsupportedError(f"preset {preset!r} is not known; known: {', '.join(PRESETS)}")
    chosen = PRESETS[preset]
    is_finer = role in ("embed", "head") or role.rpartition(".")[2] in chosen.finer
    return chosen.embeddings if is_finer else chosen.matrices


def apply(spec: Spec, preset: str, importance: Mapping[str, Buffer] | None = None) -> Spec:
    """The model with its matrices in a preset's formats; what is small (norms, biases, a convolution's taps)
    becomes F32.

    importance: by role, a float32 weight for the squared error of each input column, shape (inputs,). A
    tensor that has the format already is taken as it is. Raises UnsupportedError for an unknown preset or a
    matrix that its format's blocks do not divide, FormatError for a weight that is not finite.
    """
    tensors = {}
    for role, tensor in spec.tensors.items():
        wanted = format_of(preset, role)
        tensors[role] = _convert(role, tensor, "F32" if tensor.small else wanted, (importance or {}).get(role))
    return replace(spec, tensors=tensors)


def _convert(role: str, tensor: Tensor, wanted: str, importance: Buffer | None) -> Tensor:
    if tensor.format == wanted:
        return tensor
    block = weight_format(wanted).block
    if tensor.inputs % block:
        raise UnsupportedError(
            f"{role} has {tensor.inputs} inputs, which {wanted}'s blocks of {block} do not divide"
        )
    shape = (tensor.rows, tensor.inputs)
    data = tensor.data if tensor.format == "F32" else _core.dequantize(tensor.format, tensor.data, *shape)
    if wanted == "F32":
        return Tensor("F32", *shape, data)
    try:
        return Tensor(wanted, *shape, _core.quantize(wanted, data, *shape, importance=importance))
    except ValueError as error:
        raise FormatError(f"{role} can't be quantized to {wanted}: {error}") from error
