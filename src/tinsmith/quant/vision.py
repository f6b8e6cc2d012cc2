"""A vision model's tensors in the formats of a preset."""

from __future__ import annotations

from dataclasses import replace

from tinsmith.quant import presets
from tinsmith.quant.convert import Job, converted
from tinsmith.spec import Tensor, Vision
from tinsmith.tensor_names import TensorName
from tinsmith.vision.parts import tensors_of

# Small, and moved about value by value when they are compiled: never in blocks.
_WHOLE = ("patch", "positions", "projector.project_t")
_WIDE = ("F32", "F16")


def formats_of(vision: Vision, preset: str | presets.Mix) -> dict[str, str]:
    """By role. What a mix does not say has the format of the preset that its file type is of."""
    if isinstance(preset, presets.Mix):
        likest = next(name for name, one in presets.PRESETS.items() if one.file_type == preset.file_type)
        return {**formats_of(vision, likest), **preset.vision}
    names = tensors_of(vision)
    # Layers' parts go by the names that a language model's have.
    shapes = [presets.Shape(name.gguf.removeprefix("v."), name.all_rows, name.inputs) for name in names]
    chosen, _ = presets.formats(preset, shapes)
    return {
        name.role: _format(name, vision.tensors[name.role], given)
        for name, given in zip(names, chosen, strict=True)
    }


def matrices(vision: Vision) -> list[str]:
    """The roles of those that a preset puts in blocks."""
    plain = formats_of(vision, "Q8_0")
    return [role for role, format in plain.items() if format != "F32" and role not in _WHOLE]


def apply(vision: Vision, preset: str | presets.Mix) -> Vision:
    """One that has its format is taken as it is."""
    jobs = [Job(role, vision.tensors[role], name) for role, name in formats_of(vision, preset).items()]
    made = converted(jobs)
    return replace(vision, tensors={job.name: tensor for job, tensor in zip(jobs, made, strict=True)})


def _format(name: TensorName, tensor: Tensor, given: str) -> str:
    if name.role not in _WHOLE or given in ("F32", "BF16"):
        return given
    return tensor.format if tensor.format in _WIDE else "F16"
