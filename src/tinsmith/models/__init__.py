"""Base models: families, and reading and writing them as GGUF files or Hugging Face folders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tinsmith.errors import FormatError, InputError
from tinsmith.formats.model_files import gguf_pair
from tinsmith.models import mmproj as _mmproj
from tinsmith.models.gguf_spec import gguf_header, gguf_overhead, load_gguf, save_gguf
from tinsmith.models.hf_spec import load_hf, save_hf
from tinsmith.models.mmproj import save_mmproj
from tinsmith.spec import Hyper, Spec, Tensor, Tokenizer

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


def load(path: str | Path, mmproj: str | Path | None = None, *, mtp: bool = False) -> Spec:
    """Reads a base model: a GGUF file, or a Hugging Face folder of config.json, tokenizer.json and safetensors.

    mmproj: GGUF file of the vision model for a GGUF file. A folder has its own vision model; a folder of just
    these two GGUF files also works. mtp: keeps the multi-token prediction layer, which is otherwise left out.

    Tensor data are slices of the mapped file where its layout allows: keep the file while they are in use.
    Raises InputError for a missing path, FormatError for a damaged or incomplete model, UnsupportedError for an
    unsupported family, weight format or feature.
    """
    path = Path(path)
    if mmproj is not None and path.is_dir():
        raise InputError(f"{mmproj}: {path} is a folder with its own vision model; an mmproj goes with a .gguf")
    if path.is_dir():
        if pair := gguf_pair(path):
            return load(*pair, mtp=mtp)
        return load_hf(path, mtp=mtp)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; give a .gguf file or a Hugging Face folder")
    if path.suffix == ".safetensors":
        raise FormatError(f"{path}: tensors without config.json; give the folder that contains both")
    spec = load_gguf(path, mtp=mtp)
    if mmproj is None:
        return spec
    return replace(spec, vision=_mmproj.load(mmproj, spec.hyper, spec.tokenizer))
