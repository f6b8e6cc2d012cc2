"""Merges an adapter into its base: W + scale B A, in float32, on dequantized weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tinsmith.chat.chat_template import DIGEST, digest
from tinsmith.models.family import TensorName, by_name
from tinsmith.spec import Spec, Tensor
from tinsmith.train.adapters import peft_folder
from tinsmith.train.model import vision_adapter
from tinsmith.train.tensors import from_float32, from_folder, to_float32, to_folder


def merge(spec: Spec, adapter_dir: Path) -> Spec:
    """The base with the adapter's weights added; every tensor is F32, whatever the base's formats.

    adapter_dir: a folder in peft's format. The result takes the chat template of the adapter's training, and
    its digest, if stated. Raises InputError for a folder without an adapter or with another base's, FormatError
    for a damaged file, UnsupportedError for an adapter that is not plain LoRA.
    """
    given = peft_folder.read(Path(adapter_dir), spec, with_vision=True)
    vision = spec.vision and vision_adapter.merge(spec.vision, Path(adapter_dir))
    merged: dict[str, Tensor] = {}
    for name in by_name(spec.family).tensors(spec.hyper):
        if name.role not in spec.tensors:
            continue
        merged[name.role] = merged_tensor(name, spec.tensors[name.role], given.factors.get(name.role))
    notes, template = spec.notes + given.notes, peft_folder.template(Path(adapter_dir))
    if template is None:
        return replace(spec, tensors=merged, notes=notes, source=None, vision=vision)
    return replace(
        spec,
        tensors=merged,
        notes=notes,
        chat_template=template,
        source=None,
        vision=vision,
        general={**spec.general, DIGEST: digest(template)},
    )


def merged_tensor(name: TensorName, base: Tensor, factors: peft_folder.Factors | None) -> Tensor:
    """A tensor of the base plus the adapter's update, if any; F32."""
    if factors is None:
        return from_float32(to_float32(base))
    weight = to_folder(name, base)
    weight += factors.update().reshape(weight.shape)
    return from_folder(name, weight)
