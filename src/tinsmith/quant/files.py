"""A GGUF file to one in other formats: any architecture, metadata as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from math import prod
from pathlib import Path

from tinsmith.errors import FormatError, InputError, UnsupportedError
from tinsmith.formats import gguf
from tinsmith.formats.model_files import model_digest
from tinsmith.formats.weights import WEIGHT_FORMATS
from tinsmith.models.gguf_spec import SOURCE
from tinsmith.models.mmproj import ARCHITECTURE
from tinsmith.quant import presets
from tinsmith.quant.convert import Advance, Job, stream
from tinsmith.quant.model import Feedback
from tinsmith.spec import Buffer, Tensor

_VERSION = 2  # of the block layouts, in general.quantization_version


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
    """Writes GGUF file `source` in a preset's formats, atomically, piece by piece on all cores; the fallbacks
    that it took, a line each.

    importance: by tensor name, as formats.imatrix reads it. threads: 0 for one a core. feedback: by tensor
    name, what gives the factor of its error feedback. progress: a context that gets the bytes of all tensors
    and gives what is called with those that were converted. Tensors that have their format already keep their
    bytes. Raises FormatError for a damaged file or a weight that no block holds, UnsupportedError for a preset
    or a tensor's type that is not known."""
    if isinstance(preset, str):
        presets.check_gguf(preset)
    file = gguf.read(source)
    if file.get("general.architecture") == ARCHITECTURE:
        raise UnsupportedError(
            f"{source}: is a vision model (mmproj), some of whose tensors have no blocks in llama.cpp; "
            "build both, with --mmproj, from its language model's file"
        )
    if Path(target).exists() and Path(target).samefile(source):
        raise InputError(f"{target}: is the file that is read; give another name for what is written")
    weights = dict(importance or {})
    jobs, notes = _jobs(file, preset, weights, feedback)
    made_from = file.metadata.get(SOURCE) or gguf.value(model_digest(Path(source)))
    metadata = _metadata(file, presets.find(preset).file_type, len(weights), made_from)

    def write(advance: Advance | None) -> None:
        pieces = stream(jobs, threads, advance)
        stored = [
            gguf.Tensor(job.name, gguf.tensor_type(job.format), file.tensors[job.name].shape, data)
            for job, data in zip(jobs, pieces, strict=True)
        ]
        gguf.write(target, metadata, stored)

    if progress is None:
        write(None)
    else:
        with progress(sum(tensor.size for tensor in file.tensors.values())) as advance:
            write(advance)
    return notes


def overhead(file: gguf.Gguf) -> int:
    """Bytes of what `quantize` writes without importance, before the first tensor."""
    made_from = gguf.value("0" * 64)
    return len(gguf.header(_metadata(file, 0, 0, made_from), list(file.tensors.values())))


def _metadata(file: gguf.Gguf, file_type: int, weighed: int, made_from: gguf.Value) -> dict[str, gguf.Value]:
    """made_from: the digest of the file, which stands for its source where it names none."""
    metadata = dict(file.metadata)
    metadata.setdefault(SOURCE, made_from)
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
        weights = importance.get(tensor.name)
        if weights is not None and memoryview(weights).nbytes != 4 * matrices * shape.inputs:
            raise FormatError(
                f"{file.path}: tensor {tensor.name!r} has {matrices * shape.inputs} inputs, its importance "
                f"{memoryview(weights).nbytes // 4}; the importance matrix is of another model"
            )
        held = Tensor(name, shape.rows, shape.inputs, tensor.data)
        factor = feedback(tensor.name) if feedback else None
        jobs.append(Job(tensor.name, held, wanted, weights, matrices, feedback=factor))
    return jobs, notes


def _group(file: gguf.Gguf) -> int:
    """Query heads a key head; of the first layer that has any, where layers differ."""

    def heads(key: str) -> int:
        value = file.get(f"{file.get('general.architecture')}.attention.{key}", 1)
        return next((n for n in value if n), 1) if isinstance(value, list) else value or 1

    return max(1, heads("head_count") // heads("head_count_kv"))
