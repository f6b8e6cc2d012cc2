"""A Spec from a GGUF file and back."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.fields import errors_at
from tinsmith.format_names import file_type
from tinsmith.formats import gguf
from tinsmith.formats.weights import WEIGHT_FORMATS, in_gguf, restated
from tinsmith.layouts import inverse, reordered, row_bytes
from tinsmith.models.family import Family, TensorName, by_gguf_architecture, by_name, names_of, without_ignored
from tinsmith.spec import Buffer, Hyper, Spec, Tensor, Tokenizer
from tinsmith.tokenizer import gguf_keys

_QUANTIZATION_VERSION = 2
# SHA-256 of the checkpoint that a model's weights were made from, or that an adapter was trained on.
SOURCE = "tinsmith.source.sha256"
TEMPLATE = "tokenizer.chat_template"
# Keys of `general.*` that describe the file, not the model: every file gets new ones.
_OF_THE_FILE = {"architecture", "type", "file_type", "quantization_version", "alignment"}
Written = tuple[str, Buffer | Iterable[Buffer]]  # format; data, whole or in pieces


def load_gguf(path: str | Path, *, mtp: bool = False) -> Spec:
    file = gguf.read(path)
    family, hyper = _family(file)
    hyper = family.with_mtp(hyper, int(mtp), str(path))
    tokenizer, template = read_words(file)
    if len(tokenizer.tokens) != hyper.vocab:
        raise FormatError(f"{path}: {len(tokenizer.tokens)} tokens for a vocabulary of {hyper.vocab}")
    names, notes = without_ignored(file.tensors, family.ignored_in_gguf(hyper))
    tensors = read_tensors(file, names, family.tensors(hyper))
    notes += family.notes(hyper)
    return Spec(family.name, hyper, tensors, tokenizer, template, general_of(file), notes, source_of(file))


def general_of(file: gguf.Gguf) -> dict[str, Any]:
    """Spec.general."""
    named = ((key.partition("."), value) for key, value in file.values.items())
    return {key: value for (part, _, key), value in named if part == "general" and key not in _OF_THE_FILE}


def source_of(file: gguf.Gguf) -> str | None:
    """The digest under SOURCE, if any. Raises FormatError if it is not a SHA-256."""
    given = file.get(SOURCE)
    if given is None or (isinstance(given, str) and re.fullmatch(r"[0-9a-f]{64}", given)):
        return given
    raise FormatError(f"{file.path}: {SOURCE} is {given!r}; it must be 64 hexadecimal digits")


def _family(file: gguf.Gguf) -> tuple[Family, Hyper]:
    meta = file.values | _vectors(file)
    architecture = meta.get("general.architecture")
    if not isinstance(architecture, str):
        raise FormatError(f"{file.path}: no general.architecture; the file is not a language model")
    if architecture == "clip":
        raise UnsupportedError(f"{file.path}: this is a vision model; give the language model's file with it")
    family = by_gguf_architecture(architecture, str(file.path))
    with errors_at(file.path):
        return family, family.hyper_from_gguf(meta, tied="output.weight" not in file.tensors)


def read_words(file: gguf.Gguf) -> tuple[Tokenizer, str | None]:
    """The tokenizer and the chat template, if any; the file's family may be an unsupported one."""
    with errors_at(file.path):
        return gguf_keys.read(file.values), gguf_keys.text(file.values, TEMPLATE)


def _vectors(file: gguf.Gguf) -> dict[str, list[float]]:
    """Values of the float32 vectors that describe RoPE, by tensor name."""
    return {
        name: list(memoryview(tensor.data).cast("B").cast("f"))  # type: ignore[arg-type]
        for name, tensor in file.tensors.items()
        if name.startswith("rope_") and len(tensor.shape) == 1 and tensor.type.name == "F32"
    }


def read_tensors(file: gguf.Gguf, present: list[str], names: list[TensorName]) -> dict[str, Tensor]:
    """Tensors by role. present: names of the file's tensors, all of which must be among `names`."""
    surplus = sorted(set(present) - {part.gguf for name in names for part in name.gguf_parts})
    if surplus:
        raise UnsupportedError(
            f"{file.path}: tensor {surplus[0]!r} is not one of the family's ({len(surplus)} such); "
            "the model has a part that tinsmith does not compute"
        )
    tensors: dict[str, Tensor] = {}
    for name in names:
        parts = [_tensor(file, part) for part in name.gguf_parts]
        if len({part.format for part in parts}) > 1:
            formats = ", ".join(f"{n.gguf} {t.format}" for n, t in zip(name.gguf_parts, parts, strict=True))
            raise UnsupportedError(f"{file.path}: {formats}: parts of one tensor; quantize them alike")
        data = parts[0].data if len(parts) == 1 else b"".join(part.data for part in parts)
        tensors[name.role] = Tensor(parts[0].format, name.all_rows, name.inputs, data)
    return tensors


def _tensor(file: gguf.Gguf, name: TensorName) -> Tensor:
    stored = file.tensors.get(name.gguf)
    if stored is None:
        raise FormatError(f"{file.path}: tensor {name.gguf!r} is missing; the file is incomplete")
    if stored.shape != name.gguf_shape:
        raise FormatError(f"{file.path}: {name.gguf!r} has shape {stored.shape}; expected {name.gguf_shape}")
    allowed = ("F32",) if name.all_rows == 1 else tuple(WEIGHT_FORMATS)
    if stored.type.name not in allowed:
        raise UnsupportedError(
            f"{file.path}: tensor {name.gguf!r} is {stored.type.name}, which is not supported; supported: "
            + ", ".join(allowed)
        )
    assert isinstance(stored.data, Buffer)
    data = in_spec_order(name, stored.data, len(stored.data) // name.all_rows)
    return Tensor(stored.type.name, name.all_rows, name.inputs, data)


class Encode(Protocol):
    """Converts tensors to other formats while they are written; quant.encoder makes one."""

    @property
    def file_type(self) -> int: ...

    def __call__(self, spec: Spec, names: Sequence[TensorName]) -> Iterable[tuple[str, Iterable[Buffer]]]:
        """The format of each tensor, and its data in the file's row order, in pieces to be consumed in
        order."""


def save_gguf(spec: Spec, path: str | Path, encode: Encode | None = None) -> None:
    """Writes the model as GGUF, atomically, with everything that llama.cpp needs to run it as trained.

    encode: converts the tensors to other formats piece by piece (quant.encoder makes one). Equal specs give
    equal bytes.
    """
    file_type = encode.file_type if encode else in_file_type(spec.tensors)
    gguf.write(path, _metadata(spec, file_type), _stored(spec, encode))


def gguf_overhead(spec: Spec) -> int:
    """Bytes of save_gguf's file without its tensors, the same in all formats."""
    return len(gguf.header(_metadata(spec, 0), _stored(spec)))


def gguf_header(spec: Spec, elsewhere: Collection[str], file_type: int | None = None) -> bytes:
    """save_gguf's file up to the first tensor, then a GGUF of the tensors whose roles are not in `elsewhere`.
    Together with the tensors of `elsewhere`, which another file has, this is the whole GGUF file.

    file_type: that of the `encode` which made the tensors; None: of the format of most of them.
    """
    names = names_of(spec)
    file_type = in_file_type(spec.tensors) if file_type is None else file_type
    first = gguf.header(_metadata(spec, file_type), _stored(spec))
    rest = stored_tensors(spec.tensors, [name for name in names if name.role not in elsewhere])
    return first + gguf.to_bytes({}, rest)


def read_header(
    data: memoryview, where: str
) -> tuple[gguf.Gguf, dict[str, TensorName], dict[str, gguf.Tensor]]:
    """Reads gguf_header's bytes: the file, its tensors without data; names by GGUF name; the tensors that
    follow the header."""
    file, left = gguf.read_header(data, where)
    rest = gguf.read_bytes(left, where).tensors
    file = replace(file, tensors=file.tensors | {name: rest[name] for name in rest if name in file.tensors})
    family, hyper = _family(file)
    return file, {part.gguf: part for name in family.tensors(hyper) for part in name.gguf_parts}, rest


def _metadata(spec: Spec, file_type: int) -> dict[str, gguf.Value]:
    family = by_name(spec.family)
    metadata = general(spec.general, family.gguf_architecture, "model", spec.tensors)
    metadata |= family.hyper_to_gguf(spec.hyper)
    metadata["general.file_type"] = file_type
    metadata |= gguf_keys.write(spec.tokenizer)
    if spec.chat_template is not None:
        metadata[TEMPLATE] = spec.chat_template
    if spec.source is not None:
        metadata[SOURCE] = spec.source
    metadata["general.quantization_version"] = _QUANTIZATION_VERSION
    return {
        key: given if isinstance(given, gguf.Value) else gguf.value(given) for key, given in metadata.items()
    }


def _stored(spec: Spec, encode: Encode | None = None) -> list[gguf.Tensor]:
    names = names_of(spec)
    return _in_gguf(names, encode(spec, names)) if encode else stored_tensors(spec.tensors, names)


def stored_tensors(tensors: Mapping[str, Tensor], names: Sequence[TensorName]) -> list[gguf.Tensor]:
    """The named tensors in their present formats."""
    return _in_gguf(names, (_in_file_order(name, tensors[name.role]) for name in names))


def _in_file_order(name: TensorName, tensor: Tensor) -> Written:
    """Reordered only while the file is written."""
    if len(name.file_order) == 1:
        return tensor.format, tensor.data
    return tensor.format, map(in_file_order, [name], [tensor.data], [row_bytes(tensor)])


def _in_gguf(names: Sequence[TensorName], written: Iterable[Written]) -> list[gguf.Tensor]:
    return [
        gguf.Tensor(part.gguf, gguf.tensor_type(format), part.gguf_shape, piece)
        for name, (format, data) in zip(names, map(_in_gguf_format, written), strict=True)
        for part, piece in zip(name.gguf_parts, _in_parts(data, format, name), strict=True)
    ]


def _in_gguf_format(written: Written) -> Written:
    format, data = written
    stored = in_gguf(format)
    if stored == format:
        return written
    return stored, (restated(piece, format, stored) for piece in ([data] if isinstance(data, Buffer) else data))


def _in_parts(data: Buffer | Iterable[Buffer], format: str, name: TensorName) -> list[Any]:
    """Splits a tensor's data evenly among its parts in GGUF, to be consumed in order."""
    parts = name.gguf_parts
    if len(parts) == 1:
        return [data]
    size = WEIGHT_FORMATS[format].size(name.all_rows // len(parts) * name.inputs)
    pieces = iter([data] if isinstance(data, Buffer) else data)
    whole = bytearray()

    def share(end: int) -> Iterator[Buffer]:
        while len(whole) < end:
            whole.extend(next(pieces))
        yield memoryview(whole)[end - size : end]

    return [share(end) for end in range(size, size * len(parts) + 1, size)]


def in_file_order(name: TensorName, data: Buffer, width: int) -> Buffer:
    """The tensor's rows, of `width` bytes each, in the file's order."""
    return reordered(data, width, name.file_order)


def in_spec_order(name: TensorName, data: Buffer, width: int) -> Buffer:
    """The inverse of in_file_order."""
    return reordered(data, width, inverse(name.file_order))


def general(
    about: Mapping[str, Any], architecture: str, type: str, tensors: Mapping[str, Tensor]
) -> dict[str, Any]:
    """`general.*` of a file with these tensors of the model. about: Spec.general."""
    # A given label describes the whole model.
    skip = _OF_THE_FILE | ({"size_label"} if type != "model" else set())
    given = {f"general.{key}": value for key, value in about.items() if key not in skip}
    parameters = sum(tensor.rows * tensor.inputs for tensor in tensors.values())
    label = {"general.size_label": _size_label(parameters)}
    return {"general.architecture": architecture, "general.type": type} | label | given


def _size_label(parameters: int) -> str:
    for unit, size in (("B", 1e9), ("M", 1e6), ("K", 1e3)):
        if parameters >= size:
            scaled = parameters / size
            return f"{scaled:.1f}{unit}" if scaled < 10 else f"{scaled:.0f}{unit}"
    return str(parameters)


def in_file_type(tensors: Mapping[str, Tensor]) -> int:
    """`general.file_type` of these tensors, by role: the format of most weights. Embeddings, which often keep
    a wider format, do not count."""
    sizes: Counter[str] = Counter()
    for role, tensor in tensors.items():
        if tensor.rows > 1 and role not in ("embed", "head"):
            sizes[tensor.format] += tensor.rows * tensor.inputs
    return file_type(sizes.most_common(1)[0][0] if sizes else "F32")
