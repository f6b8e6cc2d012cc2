"""A model's tensors in the formats of a preset."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tinsmith.models.family import TensorName, names_of
from tinsmith.quant import presets
from tinsmith.quant.convert import Advance, Job, converted, stream
from tinsmith.spec import Buffer, Spec

# From a role to a function that returns the factor of the tensor's error feedback; None for no feedback.
Feedback = Callable[[str], Callable[[], Buffer] | None]


@dataclass(frozen=True)
class Encoder:
    """Encodes a model's tensors for models.save_gguf; made by `encoder`.

    formats: by role. file_type: GGUF's number of the preset. notes: a line for each fallback.
    """

    formats: dict[str, str]
    file_type: int
    notes: tuple[str, ...]
    importance: Mapping[str, Buffer]
    threads: int = 0
    advance: Advance | None = None
    feedback: Feedback | None = None

    def job(self, spec: Spec, name: TensorName, order: Sequence[int] = (0,)) -> Job:
        tensor, weights = spec.tensors[name.role], self.importance.get(name.role)
        factor = self.feedback(name.role) if self.feedback else None
        return Job(name.role, tensor, self.formats[name.role], weights, max(name.experts, 1), order, factor)

    def __call__(self, spec: Spec, names: Sequence[TensorName]) -> Iterable[tuple[str, Iterable[Buffer]]]:
        jobs = [self.job(spec, name, name.file_order) for name in names]
        return zip([job.format for job in jobs], stream(jobs, self.threads, self.advance), strict=True)


def encoder(
    spec: Spec,
    preset: str | presets.Mix,
    importance: Mapping[str, Buffer] | None = None,
    *,
    threads: int = 0,
    advance: Advance | None = None,
    feedback: Feedback | None = None,
) -> Encoder:
    """importance: by role, float32 weights for the squared errors of a matrix's input columns, [inputs], or
    [experts, inputs] of a mixture. threads, advance: as for convert.stream. feedback: factors of error
    feedback.

    Raises UnsupportedError for an unknown preset. The encoder raises FormatError for a weight that is not
    finite or too large for its format.
    """
    names = [name for name in names_of(spec) if name.role in spec.tensors]
    shapes = [presets.Shape(name.gguf, name.all_rows, name.inputs) for name in names]
    group = spec.hyper.heads // spec.hyper.kv_heads
    chosen, notes = presets.formats(preset, shapes, group=group, weighed=bool(importance))
    formats = {name.role: given for name, given in zip(names, chosen, strict=True)}
    notes += presets.notes_of_gguf(chosen)
    file_type = presets.find(preset).file_type
    return Encoder(formats, file_type, notes, importance or {}, threads, advance, feedback)


def apply(spec: Spec, preset: str, importance: Mapping[str, Buffer] | None = None) -> Spec:
    """The model in memory with its tensors in a preset's formats.

    importance and errors: as for `encoder`. The spec's notes gain the fallbacks.
    """
    encode = encoder(spec, preset, importance)
    names = [name for name in names_of(spec) if name.role in spec.tensors]
    made = converted([encode.job(spec, name) for name in names])
    tensors = {name.role: tensor for name, tensor in zip(names, made, strict=True)}
    return replace(spec, tensors=tensors, notes=(*spec.notes, *encode.notes))
