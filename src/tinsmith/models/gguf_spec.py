"""A Spec from a GGUF file and back."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.format_names import file_type
from tinsmith.formats import gguf
from tinsmith.formats.weights import WEIGHT_FORMATS, in_gguf, restated
from tinsmith.models.family import Family, TensorName, by_gguf_architecture, by_name, without_ignored
from tinsmith.spec import Buffer, Hyper, Spec, Tensor, Tokenizer
from tinsmith.tokenizer import gguf_keys as _gguf_tokenizer

_QUANTIZATION_VERSION = 2
# The SHA-256 of the checkpoint that a model's weights were made from, or that an adapter was trained on.
SOURCE = "tinsmith.source.sha256"
TEMPLATE = "tokenizer.chat_template"
# What `general.*` says of the file rather than of the model; written anew.
_OF_THE_FILE = {"architecture", "type", "file_type", "quantization_version", "alignment"}


def load_gguf(path: str | Path, *, mtp: bool = False) -> Spec:
    file = gguf.read(path)
    meta = {key: entry.value for key, entry in file.metadata.items()}
    family, hyper = _family(file)
    hyper = family.with_mtp(hyper, int(mtp), str(path))
    try:
        tokenizer = _gguf_tokenizer.read(meta)
        template = _gguf_tokenizer.text(meta, TEMPLATE)
        named = _gguf_tokenizer.named_templates(meta)
    except (FormatError, UnsupportedError) as error:
        raise type(error)(f"{path}: {error}") from error
    if len(tokenizer.tokens) != hyper.vocab:
        raise FormatError(f"{path}: {len(tokenizer.tokens)} tokens for a vocabulary of {hyper.vocab}")
    names, notes = without_ignored(file.tensors, family.ignored_in_gguf(hyper))
    tensors = read_tensors(file, names, family.tensors(hyper))
    notes += family.notes(hyper)
    source = source_of(file)
    return Spec(family.name, hyper, tensors, tokenizer, template, general_of(file), notes, named, source)


def general_of(file: gguf.Gguf) -> dict[str, Any]:
    """Spec.general."""
    return {
        key.removeprefix("general."): entry.value
        for key, entry in file.metadata.items()
        if key.startswith("general.") and key.removeprefix("general.") not in _OF_THE_FILE
    }


def source_of(file: gguf.Gguf) -> str | None:
    """The digest under SOURCE; None where the file does not say. Raises FormatError for what is none."""
    given = file.get(SOURCE)
    if given is None or (isinstance(given, str) and re.fullmatch(r"[0-9a-f]{64}", given)):
        return given
    raise FormatError(f"{file.path}: {SOURCE} is {given!r}; it must be 64 hexadecimal digits")


def _family(file: gguf.Gguf) -> tuple[Family, Hyper]:
    meta = {key: entry.value for key, entry in file.metadata.items()} | _vectors(file)
    architecture = meta.get("general.architecture")
    if not isinstance(architecture, str):
        raise FormatError(f"{file.path}: no general.architecture; the file is not a language model")
    if architecture == "clip":
        raise UnsupportedError(
            f"{file.path}: this is a vision model (mmproj); give the language model's file, and "
            "this one with it"
        )
    family = by_gguf_architecture(architecture, str(file.path))
    try:
        return family, family.hyper_from_gguf(meta, tied="output.weight" not in file.tensors)
    except (FormatError, UnsupportedError) as error:
        raise type(error)(f"{file.path}: {error}") from error


def read_words(file: gguf.Gguf) -> tuple[Tokenizer, str | None]:
    """The tokenizer, and the chat template if any, of a file whose family need not be one of ours."""
    meta = {key: entry.value for key, entry in file.metadata.items()}
    try:
        return _gguf_tokenizer.read(meta), _gguf_tokenizer.text(meta, TEMPLATE)
    except (FormatError, UnsupportedError) as error:
        raise type(error)(f"{file.path}: {error}") from error


def _vectors(file: gguf.Gguf) -> dict[str, list[float]]:
    """The values of float32 vectors of no layer, by their tensor's name."""
    return {
        name: list(memoryview(tensor.data).cast("B").cast("f"))  # type: ignore[arg-type]
        for name, tensor in file.tensors.items()
        if name.startswith("rope_") and len(tensor.shape) == 1 and tensor.type.name == "F32"
    }


def read_tensors(file: gguf.Gguf, present: list[str], names: list[TensorName]) -> dict[str, Tensor]:
    """By role. present: the file's tensors that must all be among `names`."""
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
            raise UnsupportedError(
                f"{file.path}: {formats}: tensors that are computed as one have several formats, which is not "
                "supported; quantize them alike"
            )
        data = parts[0].data if len(parts) == 1 else b"".join(part.data for part in parts)
        tensors[name.role] = Tensor(parts[0].format, name.all_rows, name.inputs, data)
    return tensors


def _tensor(file: gguf.Gguf, name: TensorName) -> Tensor:
    stored = file.tensors.get(name.gguf)
    if stored is None:
        raise FormatError(f"{file.path}: tensor {name.gguf!r} is missing; the file is incomplete")
    if stored.shape != name.gguf_shape:
        raise FormatError(
            f"{file.path}: tensor {name.gguf!r} has shape {stored.shape}; expected {name.gguf_shape}"
        )
    allowed = ("F32",) if name.all_rows == 1 else tuple(WEIGHT_FORMATS)
    if stored.type.name not in allowed:
        raise UnsupportedError(
            f"{file.path}: tensor {name.gguf!r} is {stored.type.name}, which is not supported; supported: "
            + ", ".join(allowed)
        )
    assert isinstance(stored.data, Buffer)
    data: Buffer = stored.data
    order = name.file_order
    if len(order) > 1:
        back = sorted(range(len(order)), key=order.__getitem__)
        data = b"".join(_runs(data, len(data) // name.all_rows, back))
    return Tensor(stored.type.name, name.all_rows, name.inputs, data)


class Encode(Protocol):
    """Gives tensors other formats on their way to the file: quant.encoder makes such."""

    @property
    def file_type(self) -> int: ...

    def __call__(
        self, spec: Spec, names: Sequence[tuple[TensorName, Sequence[int]]]
    ) -> Iterable[tuple[str, Iterable[Buffer]]]:
        """For each tensor its format and its data in pieces, which are taken in order. With a name comes the
        order that the file has rows in: its row i of each run of len(order) rows is the tensor's order[i]."""


def save(spec: Spec, path: str | Path, extra_metadata: Mapping[str, Any], encode: Encode | None) -> None:
    names = by_name(spec.family).tensors(spec.hyper)
    file_type = encode.file_type if encode else in_file_type(spec.tensors)
    gguf.write(path, _metadata(spec, file_type, extra_metadata), _stored(spec, names, encode))


def overhead(spec: Spec) -> int:
    """Bytes of the file that `save` writes before its first tensor, whatever its formats."""
    names = by_name(spec.family).tensors(spec.hyper)
    return len(gguf.header(_metadata(spec, 0, {}), _stored(spec, names, None)))


def header(spec: Spec, elsewhere: Collection[str], file_type: int | None) -> bytes:
    """The file that `save` would write, up to its first tensor; then a file of no metadata with those tensors
    whose roles are not among `elsewhere`. file_type: as in gguf_header."""
    names = by_name(spec.family).tensors(spec.hyper)
    file_type = in_file_type(spec.tensors) if file_type is None else file_type
    first = gguf.header(_metadata(spec, file_type, {}), _stored(spec, names, None))
    rest = _stored(spec, [name for name in names if name.role not in elsewhere], None)
    return first + gguf.to_bytes({}, rest)


def read_header(
    data: memoryview, where: str
) -> tuple[gguf.Gguf, dict[str, TensorName], dict[str, gguf.Tensor]]:
    """What `header` made: the file, its tensors without data; their names by GGUF's; and the tensors that
    follow."""
    file, left = gguf.read_header(data, where)
    rest = gguf.read_bytes(left, where).tensors
    file = replace(file, tensors=file.tensors | {name: rest[name] for name in rest if name in file.tensors})
    family, hyper = _family(file)
    return file, {part.gguf: part for name in family.tensors(hyper) for part in name.gguf_parts}, rest


def _metadata(spec: Spec, file_type: int, extra: Mapping[str, Any]) -> dict[str, gguf.Value]:
    family = by_name(spec.family)
    metadata = general(spec.general, family.gguf_architecture, "model", spec.tensors)
    metadata |= family.hyper_to_gguf(spec.hyper)
    metadata["general.file_type"] = file_type
    metadata |= _gguf_tokenizer.write(spec.tokenizer)
    if spec.chat_template is not None:
        metadata[TEMPLATE] = spec.chat_template
    if spec.named_templates:
        metadata["tokenizer.chat_templates"] = list(spec.named_templates)
        metadata |= {f"tokenizer.chat_template.{name}": text for name, text in spec.named_templates.items()}
    if spec.source is not None:
        metadata[SOURCE] = spec.source
    metadata["general.quantization_version"] = _QUANTIZATION_VERSION
    metadata |= extra
    return {
        key: given if isinstance(given, gguf.Value) else gguf.value(given) for key, given in metadata.items()
    }


def _stored(spec: Spec, names: Sequence[TensorName], encode: Encode | None) -> list[gguf.Tensor]:
    if encode is None:
        return stored_tensors(spec.tensors, names)
    placed = [(name, name.file_order) for name in names]
    return _in_gguf(placed, encode(spec, placed))


def stored_tensors(tensors: Mapping[str, Tensor], names: Sequence[TensorName]) -> list[gguf.Tensor]:
    """Those of a role, in the formats that they have."""
    placed = [(name, name.file_order) for name in names]
    return _in_gguf(placed, _as_they_are(tensors, placed))


def _in_gguf(
    placed: Sequence[tuple[TensorName, Sequence[int]]],
    written: Iterable[tuple[str, Buffer | Iterable[Buffer]]],
) -> list[gguf.Tensor]:
    return [
        gguf.Tensor(part.gguf, gguf.tensor_type(format), part.gguf_shape, piece)
        for (name, _), (format, data) in zip(placed, map(_as_gguf_has_it, written), strict=True)
        for part, piece in zip(name.gguf_parts, _in_parts(data, format, name), strict=True)
    ]


def _as_gguf_has_it(
    written: tuple[str, Buffer | Iterable[Buffer]],
) -> tuple[str, Buffer | Iterable[Buffer]]:
    format, data = written
    held = in_gguf(format)
    if held == format:
        return written
    return held, (restated(piece, format, held) for piece in ([data] if isinstance(data, Buffer) else data))


def _in_parts(data: Buffer | Iterable[Buffer], format: str, name: TensorName) -> list[Any]:
    """A tensor's data, of which each part in GGUF takes its share, one after the other."""
    parts = name.gguf_parts
    if len(parts) == 1:
        return [data]
    kind = WEIGHT_FORMATS[format]
    size = name.all_rows // len(parts) * name.inputs // kind.block * kind.bytes
    pieces = iter([data] if isinstance(data, Buffer) else data)
    left = memoryview(b"")

    def share() -> Iterator[Buffer]:
        nonlocal left
        wanted = size
        while wanted:
            left = left or memoryview(next(pieces, b"")).cast("B")
            if not left:
                return  # whoever writes it says so
            yield left[:wanted]
            wanted, left = max(wanted - len(left), 0), left[wanted:]

    return [share() for _ in parts]


def in_file_order(name: TensorName, data: Buffer, width: int) -> bytes:
    """The tensor's rows, of `width` bytes each, as the file has them."""
    return b"".join(_runs(data, width, name.file_order))


def in_spec_order(name: TensorName, data: Buffer, width: int) -> bytes:
    """The rows of the file's tensor, of `width` bytes each, as the spec has them."""
    order = name.file_order
    return b"".join(_runs(data, width, sorted(range(len(order)), key=order.__getitem__)))


def _as_they_are(
    tensors: Mapping[str, Tensor], names: Sequence[tuple[TensorName, Sequence[int]]]
) -> Iterator[tuple[str, Buffer | Iterator[Buffer]]]:
    for name, order in names:
        tensor = tensors[name.role]
        width = memoryview(tensor.data).nbytes // tensor.rows
        yield tensor.format, (tensor.data if len(order) == 1 else _runs(tensor.data, width, order))


def _runs(data: Buffer, width: int, order: Sequence[int]) -> Iterator[Buffer]:
    view = memoryview(data).cast("B")
    for base in range(0, len(view), len(order) * width):
        yield b"".join(view[base + row * width : base + (row + 1) * width] for row in order)


def general(
    about: Mapping[str, Any], architecture: str, type: str, tensors: Mapping[str, Tensor]
) -> dict[str, Any]:
    """The `general.*` of a file with these tensors, which are the model's or a part of it. about: as
    Spec.general."""
    # A label that was given is the whole model's.
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
    """`general.file_type` of these tensors, by role."""
    sizes: Counter[str] = Counter()
    for role, tensor in tensors.items():
        # Embeddings often keep a wider format and do not give a file its name.
        if tensor.rows > 1 and role not in ("embed", "head"):
            sizes[tensor.format] += tensor.rows * tensor.inputs
    return file_type(sizes.most_common(1)[0][0] if sizes else "F32")
