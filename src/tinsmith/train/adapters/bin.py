"""An adapter as the runtime applies it beside the base, in any weight format."""

from __future__ import annotations

from pathlib import Path

from tinsmith.compiler.adapter import FORMATS, compile_adapter
from tinsmith.compiler.program import read_program
from tinsmith.errors import InputError
from tinsmith.formats import gguf
from tinsmith.formats.tin import Tin
from tinsmith.system import files
from tinsmith.train.adapters import gguf as adapter_gguf
from tinsmith.train.adapters import peft_folder, prefix_bin


def is_source(path: Path) -> bool:
    """Whether `compiled` accepts the path: a folder, or a GGUF file. Raises InputError for a missing path."""
    return path.is_dir() or bytes(files.map_file(path)[:4]) == gguf.MAGIC


def compiled(given: str | Path, tin: Tin, format: str = FORMATS[0]) -> bytes:
    """Compiles an adapter for the model in a tin, as compile_adapter and compile_prefix do.

    The adapter is a GGUF file, or a folder of a prefix or in peft's format. format: of its factors. Raises what
    peft_folder.read and gguf.read raise, and UnsupportedError for a layer that can't be adapted at run time.
    """
    path, (family, hyper) = Path(given), adapter_gguf.family_of(tin)
    source = peft_folder.base_digest(path) if path.is_dir() else adapter_gguf.source(path)
    base, program = bytes.fromhex(source or "00" * 32), read_program(tin.entry("program.bin"))
    if prefix_bin.is_prefix(path):
        return prefix_bin.compiled(path, family, hyper, program, base)
    if not path.is_dir():
        return compile_adapter(adapter_gguf.read(path, family, hyper), program, format, base)
    found = peft_folder.of_base(path, family, hyper).factors
    if not found:
        raise InputError(f"{path}: adapts nothing of the text model; there is nothing to add")
    factors = {role: peft_folder.low_rank(str(path), one) for role, one in found.items()}
    return compile_adapter(factors, program, format, base)


def template(path: Path) -> str | None:
    """The chat template that the adapter was trained under; None if it does not say."""
    return peft_folder.template(path) if path.is_dir() else adapter_gguf.template(path)


def digest_of(path: Path) -> str:
    """A digest of everything that determines the adapter's results."""
    if prefix_bin.is_prefix(path):
        return peft_folder.digest_of(path, (prefix_bin.CONFIG, prefix_bin.WEIGHTS))
    return peft_folder.digest_of(path) if path.is_dir() else files.sha256_file(path)
