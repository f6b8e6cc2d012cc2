"""Converts a GGUF file of any architecture to other weight formats; metadata stays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from math import prod
from pathlib import Path

from tinsmith.errors import InputError, UnsupportedError
from tinsmith.formats import gguf
from tinsmith.formats.model_files import model_digest
from tinsmith.formats.weights import WEIGHT_FORMATS
from tinsmith.models.gguf_spec import SOURCE
from tinsmith.models.mmproj import ARCHITECTURE
from tinsmith.quant import presets
from tinsmith.quant.convert import Advance, Job, stream
from tinsmith.quant.model import Feedback
from tinsmith.spec import Buffer, Tensor

_VERSION = 2  # general.quantization_version: of the block layouts


def quantize(
    source: str | Path,
    target: str | Path,
    preset: str | presets.Mix,
    importance: Mapping[str, Buffer] | None = None,
    *,
    threads: int = 0,
    feedback: Feedback | None = None,
    progress: Callable[[int], AbstractContextManager[Advance]] | None = None,
) -> tuple[str, ...]:
    """Writes GGUF file `source` in a preset's formats, atomically, in pieces on all cores. Returns a line for
    each fallback.

    importance: by tensor name, as formats.imatrix reads it. threads: 0 for one a core. feedback: by tensor
    name, returns the factor of its error feedback. progress: from the bytes of all tensors, a context whose
    value is called with the bytes converted. Tensors that have their format already keep their bytes. Raises
    FormatError for a damaged file or a weight outside its format's range, UnsupportedError for an unknown
    preset or tensor type."""
    if isinstance(preset, str):
        presets.check_gguf(preset)
    file = gguf.read(source)
    if file.get("general.architecture") == ARCHITECTURE:
        raise UnsupportedError(
            f"{source}: is a vision model (mmproj); llama.cpp has no blocks for some of its tensors. Build "
            "both from the language model's file, with --mmproj"
        )
    if Path(target).exists() and Path(target).samefile(source):
        raise InputError(f"{target}: is the input file; give another output file")
    jobs, notes = _jobs(file, preset, importance or {}, feedback)
    source_digest = file.metadata.get(SOURCE) or gguf.value(model_digest(Path(source)))
    metadata = _metadata(file, presets.find(preset).file_type, len(importance or {}), source_digest)
    total = sum(tensor.size for tensor in file.tensors.values())
    with nullcontext() if progress is None else progress(total) as advance:
        pieces = stream(jobs, threads, advance)
        stored = [
            gguf.Tensor(job.name, gguf.tensor_type(job.format), file.tensors[job.name].shape, data)
            for job, data in zip(jobs, pieces, strict=True)
        ]
        gguf.write(target, metadata, stored)
    return notes


def overhead(file: gguf.Gguf) -> int:
    """Bytes before the first tensor in `quantize`'s output without importance."""
    return len(gguf.header(_metadata(file, 0, 0, gguf.value("0" * 64)), list(file.tensors.values())))


def _metadata(file: gguf.Gguf, file_type: int, weighed: int, source: gguf.Value) -> dict[str, gguf.Value]:
    """source: the file's digest, stated unless the file names its own source."""
    metadata = dict(file.metadata)
    metadata.setdefault(SOURCE, source)
    metadata["general.file_type"] = gguf.value(file_type)
    metadata["general.quantization_version"] = gguf.value(_VERSION)
    if weighed:
        metadata["quantize.imatrix.entries_count"] = gguf.value(weighed)
    return metadata


def _jobs(
    file: gguf.Gguf, preset: str | presets.Mix, importance: Mapping[str, Buffer], feedback: Feedback | None
) -> tuple[list[Job], tuple[str, ...]]:
    tensors = list(file.tensors.values())
    shapes = [presets.Shape(tensor.name, prod(tensor.shape[1:]), tensor.shape[0]) for tensor in tensors]
    chosen, notes = presets.formats(preset, shapes, group=_group(file), weighed=bool(importance))
    jobs = []
    for tensor, shape, wanted in zip(tensors, shapes, chosen, strict=True):
        assert isinstance(tensor.data, Buffer)
        matrices, name = prod(tensor.shape[2:]), tensor.type.name
        if name not in WEIGHT_FORMATS:
            if shape.rows > 1:
                raise UnsupportedError(
                    f"{file.path}: tensor {tensor.name!r} is {name}, which can't be converted; what can: "
                    + ", ".join(WEIGHT_FORMATS)
                )
            wanted = name  # a short table of numbers
        stored = Tensor(name, shape.rows, shape.inputs, tensor.data)
        factor = feedback(tensor.name) if feedback else None
        weights = importance.get(tensor.name)
        jobs.append(Job(tensor.name, stored, wanted, weights, matrices, feedback=factor))
    return jobs, notes


def _group(file: gguf.Gguf) -> int:
    """Query heads a key head, of the first layer with attention."""

    def heads(key: str) -> int:
        value = file.get(f"{file.get('general.architecture')}.attention.{key}", 1)
        return next((n for n in value if n), 1) if isinstance(value, list) else value or 1

    return max(1, heads("head_count") // heads("head_count_kv"))
