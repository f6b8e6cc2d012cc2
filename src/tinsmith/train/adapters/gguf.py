"""An adapter as a GGUF file, written and read, which llama.cpp applies to the base's GGUF in any weight format.

llama.cpp adds alpha / rank * B (A x) to a matrix's product; A and B are named after the matrix. Where GGUF
orders a matrix's rows otherwise than the adapter's folder, B's rows follow; for columns, A's columns do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tinsmith.compiler.adapter import LowRank, factors_of
from tinsmith.errors import FormatError, InputError, UnsupportedError
from tinsmith.formats import gguf
from tinsmith.formats.tin import Tin
from tinsmith.formats.weights import WEIGHT_FORMATS, to_float32
from tinsmith.models.family import Family, TensorName, by_name
from tinsmith.models.gguf_spec import SOURCE, TEMPLATE, in_file_order, in_spec_order, source_of
from tinsmith.spec import Buffer, Hyper, Spec, Tensor
from tinsmith.train.adapters import peft_folder


def write(adapter_dir: str | Path, spec: Spec, path: str | Path) -> tuple[str, ...]:
    """Writes the adapter in adapter_dir (peft's format) for the base `spec`, atomically, as F32; equal adapters
    give equal bytes.

    Returns notes: parts left out on purpose, and other warnings. Raises what peft_folder.read raises, and
    UnsupportedError for a layer that llama.cpp can't adapt.
    """
    given = peft_folder.read(Path(adapter_dir), spec)
    if not given.factors:
        raise InputError(f"{adapter_dir}: adapts nothing of the text model; there is nothing to export")
    parts = {role: peft_folder.low_rank(str(adapter_dir), one) for role, one in given.factors.items()}
    template = peft_folder.template(Path(adapter_dir))
    told = {TEMPLATE: template, SOURCE: peft_folder.base_digest(Path(adapter_dir))}
    metadata: dict[str, Any] = {key: text for key, text in told.items() if text is not None}
    if isinstance(base := spec.general.get("name"), str):
        metadata |= {"general.base_model.count": 1, "general.base_model.0.name": base}
    _write(path, by_name(spec.family), spec.hyper, parts, metadata)
    if template is None or template == spec.chat_template:
        return given.notes
    file = Path(adapter_dir) / peft_folder.TEMPLATE
    note = f"trained under another chat template than the base's; give llama.cpp --chat-template-file {file}"
    return (*given.notes, note)


def write_sealed(data: Buffer, tin: Tin, path: Path, where: str) -> None:
    """Writes a tin's compiled adapter for the GGUF file that the tin exports. where: the adapter's name in
    errors.

    Raises UnsupportedError for a prefix, FormatError for a damaged one.
    """
    _write(path, *family_of(tin), factors_of(data, where), {})


def family_of(tin: Tin) -> tuple[Family, Hyper]:
    """The family and sizes of the model in a tin."""
    facts = tin.facts("family", "hyper")
    family = by_name(facts["family"])
    return family, family.hyper_from_facts(facts["hyper"], tin.where)


def _write(
    path: str | Path, family: Family, hyper: Hyper, parts: Mapping[str, LowRank], metadata: Mapping[str, Any]
) -> None:
    """One alpha for all, the first factors'; a different scale goes into B."""
    first = next(iter(parts.values()))
    alpha = first.scale * first.rank
    names = {name.role: name for name in family.tensors(hyper)}
    tensors = [stored for role, one in parts.items() for stored in _stored(names[role], one, alpha)]
    plain: dict[str, Any] = {
        "general.architecture": family.gguf_architecture,
        "general.type": "adapter",
        "adapter.type": "lora",
        "adapter.lora.alpha": alpha,
        "general.file_type": 0,
        **metadata,
    }
    gguf.write(path, {key: gguf.value(given) for key, given in plain.items()}, tensors)


def read(path: Path, family: Family, hyper: Hyper) -> dict[str, LowRank]:
    """The factors in a GGUF adapter, by the role of the spec's tensor, with rows in the spec's order.

    Raises InputError for an adapter of another base, FormatError for a damaged file or one without an adapter,
    UnsupportedError for more than low-rank factors of the base's matrices.
    """
    file = gguf.read(path)
    alpha = _alpha(file, family)
    names = {part.gguf: part for name in family.tensors(hyper) for part in name.gguf_parts}
    parts: dict[str, dict[str, gguf.Tensor]] = {}
    for key, tensor in file.tensors.items():
        matrix, _, part = key.rpartition(".")
        if part not in ("lora_a", "lora_b"):
            raise UnsupportedError(
                f"{path}: tensor {key!r} is no factor of a matrix; only plain LoRA is supported"
            )
        parts.setdefault(matrix, {})[part] = tensor
    if not parts:
        raise InputError(f"{path}: adapts nothing")
    for matrix, pair in parts.items():
        check_matrix(path, matrix, pair, names)
    factors = {matrix: _factors(path, names[matrix], pair, alpha) for matrix, pair in parts.items()}
    return {
        name.role: _whole(path, name, [factors.get(part.gguf) for part in name.gguf_parts])
        for name in family.tensors(hyper)
        if any(part.gguf in factors for part in name.gguf_parts)
    }


def _whole(path: Path, name: TensorName, parts: list[LowRank | None]) -> LowRank:
    """The factors of a tensor that GGUF splits into parts, which must share A."""
    first, *others = (part for part in parts if part is not None)
    if len(others) + 1 < len(parts) or any((one.scale, one.a) != (first.scale, first.a) for one in others):
        raise UnsupportedError(
            f"{path}: {', '.join(part.gguf for part in name.gguf_parts)} are computed as one, and the factors "
            "A of them differ, which is not supported; give the adapter as a folder in peft's format"
        )
    return replace(first, outputs=name.all_rows, b=b"".join(part.b for part in (first, *others)))


def source(path: Path) -> str | None:
    """The SHA-256 of the base that the adapter was trained on; None if the file does not say."""
    return source_of(gguf.read(path))


def check_base(path: Path, base: Path) -> None:
    """Raises InputError for an adapter, a folder or GGUF file, that states another base than that of the GGUF
    file `base`."""
    trained = peft_folder.base_digest(path) if path.is_dir() else source(path)
    peft_folder.check_base(path, trained, source_of(gguf.read(base)))


def template(path: Path) -> str | None:
    """The chat template that the adapter was trained under; None if the file does not say."""
    text = gguf.read(path).get(TEMPLATE)
    return text if isinstance(text, str) else None


def _alpha(file: gguf.Gguf, family: Family) -> float:
    """The alpha of a file with an adapter of the family."""
    if file.get("general.type") != "adapter" or file.get("adapter.type") != "lora":
        raise FormatError(
            f"{file.path}: general.type is {file.get('general.type')!r} and adapter.type "
            f"{file.get('adapter.type')!r}: no LoRA adapter; give a folder in peft's format or a GGUF adapter"
        )
    of, wanted = file.get("general.architecture"), family.gguf_architecture
    if of != wanted:
        raise InputError(f"{file.path}: an adapter of {of!r}, and the model is {wanted!r}; give its own base")
    if file.get("adapter.alora.invocation_tokens"):
        raise UnsupportedError(f"{file.path}: an activated LoRA, which is not supported; only plain LoRA is")
    alpha = file.get("adapter.lora.alpha")
    if not peft_folder.is_scale(alpha):
        raise FormatError(f"{file.path}: adapter.lora.alpha is {alpha!r}; it must be a number above 0")
    return float(alpha)


def check_matrix(
    path: Path, matrix: str, pair: Mapping[str, gguf.Tensor], names: Mapping[str, TensorName]
) -> None:
    """Raises for a tensor that no adapter can change, or without both factors."""
    if matrix not in names:
        raise InputError(f"{path}: adapts {matrix}, which the base lacks; give its own base")
    if names[matrix].experts or matrix == "token_embd.weight":
        what = "the routed experts" if names[matrix].experts else "the embeddings"
        raise UnsupportedError(
            f"{path}: adapts {matrix}, {what}, which is not supported; train one without them"
        )
    if len(pair) != 2:
        raise FormatError(f"{path}: {matrix} has one factor of two; the file is damaged, export it again")


def _factors(path: Path, name: TensorName, pair: dict[str, gguf.Tensor], alpha: float) -> LowRank:
    a, b = (_floats(path, pair[part]) for part in ("lora_a", "lora_b"))
    if (b.rows, a.inputs) != (name.all_rows, name.inputs) or a.rows != b.inputs:
        raise InputError(
            f"{path}: {name.gguf} is {[name.all_rows, name.inputs]} in the base, the adapter's factors are "
            f"{[b.rows, b.inputs]} and {[a.rows, a.inputs]}; give the base that it was trained on"
        )
    rows = in_spec_order(name, b.data, 4 * a.rows)
    return LowRank(name.all_rows, name.inputs, a.rows, alpha / a.rows, a.data, rows)


def _floats(path: Path, tensor: gguf.Tensor) -> Tensor:
    if tensor.type.name not in WEIGHT_FORMATS or len(tensor.shape) != 2:
        raise UnsupportedError(
            f"{path}: {tensor.name} is {tensor.type.name} of shape {tensor.shape}; a factor is a matrix in "
            f"one of {', '.join(WEIGHT_FORMATS)}"
        )
    inputs, rows = tensor.shape
    assert isinstance(tensor.data, Buffer)  # for a file that was read
    return to_float32(Tensor(tensor.type.name, rows, inputs, tensor.data))


def _stored(name: TensorName, one: LowRank, alpha: float) -> Iterator[gguf.Tensor]:
    import numpy as np

    b = np.frombuffer(one.b, dtype=np.float32).reshape(-1, one.rank)
    ratio = one.scale * one.rank / alpha
    if ratio != 1:
        b = b * np.float32(ratio)
    float32 = gguf.tensor_type("F32")
    for part in name.gguf_parts:
        own = np.ascontiguousarray(b[part.first_row : part.first_row + part.rows])
        rows = in_file_order(part, own.tobytes(), 4 * one.rank)
        yield gguf.Tensor(f"{part.gguf}.lora_a", float32, (name.inputs, one.rank), one.a)
        yield gguf.Tensor(f"{part.gguf}.lora_b", float32, (one.rank, part.rows), rows)
