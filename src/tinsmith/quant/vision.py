"""Formats of a vision model's tensors under a preset."""

from __future__ import annotations

from dataclasses import replace

from tinsmith.quant import presets
from tinsmith.quant.convert import Job, converted
from tinsmith.spec import Tensor, Vision
from tinsmith.tensor_names import TensorName
from tinsmith.vision.parts import tensors_of

# Small, and reordered value by value by the compiler: never in blocks.
_WHOLE = ("patch", "positions", "projector.project_t")
_WIDE = ("F32", "F16")


def formats_of(vision: Vision, preset: str | presets.Mix) -> dict[str, str]:
    """By role. Tensors that a mix leaves out get the preset of its file type."""
    if isinstance(preset, presets.Mix):
        nearest = next(name for name, one in presets.PRESETS.items() if one.file_type == preset.file_type)
        return {**formats_of(vision, nearest), **preset.vision}
    names = tensors_of(vision)
    # Parts of layers have the same names as a language model's.
    shapes = [presets.Shape(name.gguf.removeprefix("v."), name.all_rows, name.inputs) for name in names]
    chosen, _ = presets.formats(preset, shapes)
    return {
        name.role: _format(name, vision.tensors[name.role], given)
        for name, given in zip(names, chosen, strict=True)
    }


def matrices(vision: Vision) -> list[str]:
    """The roles of the tensors that a preset puts in blocks."""
    formats = formats_of(vision, "Q8_0")
    return [role for role, format in formats.items() if format != "F32" and role not in _WHOLE]


def apply(vision: Vision, preset: str | presets.Mix) -> Vision:
    jobs = [Job(role, vision.tensors[role], name) for role, name in formats_of(vision, preset).items()]
    made = converted(jobs)
    return replace(vision, tensors={job.name: tensor for job, tensor in zip(jobs, made, strict=True)})


def _format(name: TensorName, tensor: Tensor, given: str) -> str:
    if name.role not in _WHOLE or given in ("F32", "BF16"):
        return given
    return tensor.format if tensor.format in _WIDE else "F16"
