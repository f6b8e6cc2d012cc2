"""Base models: families, and reading and writing them as GGUF files or Hugging Face folders."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith.errors import FormatError, InputError
from tinsmith.spec import Hyper, Spec, Tensor, Tokenizer

if TYPE_CHECKING:
    from tinsmith.models.gguf_spec import Encode

__all__ = [
    "Hyper",
    "Spec",
    "Tensor",
    "Tokenizer",
    "gguf_header",
    "gguf_overhead",
    "load",
    "save_gguf",
    "save_hf",
    "save_mmproj",
]

# The functions import their format when called: its modules build on those of this package.


def load(path: str | Path, mmproj: str | Path | None = None, *, mtp: bool = False) -> Spec:
    """Reads a base model: a GGUF file, or a Hugging Face folder of config.json, tokenizer.json and safetensors.

    mmproj: the GGUF file of the vision model that belongs to a GGUF file; a folder has its own, also one of
    just these two files. mtp: with the layer that predicts a further token (multi-token prediction), which is
    left out otherwise.

    Tensor data are slices of the mapped file where its layout allows, so the file must stay while they are in
    use.
    Raises InputError for a missing path, FormatError for a damaged or incomplete model, UnsupportedError for a
    family, weight format or feature that tinsmith does not have.
    """
    path = Path(path)
    if mmproj is not None and path.is_dir():
        raise InputError(
            f"{mmproj}: {path} is a folder, which has its own vision model; an mmproj is for a .gguf"
        )
    if path.is_dir():
        from tinsmith.formats.model_files import gguf_pair
        from tinsmith.models.hf_spec import load_hf

        if pair := gguf_pair(path):
            return load(*pair, mtp=mtp)
        return load_hf(path, mtp=mtp)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; give a .gguf file or a Hugging Face folder")
    if path.suffix == ".safetensors":
        raise FormatError(
            f"{path}: tensors without their config; give the folder that holds it and config.json"
        )
    from tinsmith.models.gguf_spec import load_gguf

    spec = load_gguf(path, mtp=mtp)
    if mmproj is None:
        return spec
    from tinsmith.models.mmproj import load as load_mmproj

    return replace(spec, vision=load_mmproj(mmproj, spec.hyper, spec.tokenizer))


def save_gguf(
    spec: Spec,
    path: str | Path,
    extra_metadata: Mapping[str, Any] | None = None,
    encode: Encode | None = None,
) -> None:
    """Writes the model as GGUF, atomically, with all that llama.cpp needs to run it as it was trained.

    extra_metadata: further keys by their full name, plain values or formats.gguf.Value; they replace keys of
    the same name. encode: gives the tensors other formats as they are written (quant.encoder makes one), so
    that nothing but the piece being worked on is in memory. The same spec gives the same bytes.
    """
    from tinsmith.models.gguf_spec import save

    save(spec, path, extra_metadata or {}, encode)


def gguf_overhead(spec: Spec) -> int:
    """Bytes of the file that save_gguf writes, without its tensors: the same in all formats."""
    from tinsmith.models.gguf_spec import overhead

    return overhead(spec)


def gguf_header(spec: Spec, elsewhere: Collection[str], file_type: int | None = None) -> bytes:
    """What save_gguf writes before the first tensor, and the tensors whose roles are not among `elsewhere`:
    with the others, which are in another file, the whole GGUF file.

    file_type: that of the `encode` which made the tensors; None: of the format that most of them have.
    """
    from tinsmith.models.gguf_spec import header

    return header(spec, elsewhere, file_type)


def save_mmproj(spec: Spec, path: str | Path) -> None:
    """Writes the model's vision model as the GGUF file that llama.cpp's mtmd takes beside the language model's,
    atomically, each tensor in the format that it has.

    Raises UnsupportedError for a model without one.
    """
    from tinsmith.models.mmproj import save

    save(spec, path)


def save_hf(spec: Spec, folder: str | Path) -> None:
    """Writes a float model as the folder that transformers' AutoModelForCausalLM and AutoTokenizer load.

    Raises UnsupportedError for quantized tensors; dequantize first.
    """
    from tinsmith.models.hf_spec import save

    save(spec, Path(folder))
