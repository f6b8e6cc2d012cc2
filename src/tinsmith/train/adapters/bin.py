"""An adapter as the runtime applies it beside the base, in any weight format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tinsmith.compiler.adapter import FORMATS, LowRank, compile_adapter
from tinsmith.compiler.program import Listing, read_program
from tinsmith.errors import InputError
from tinsmith.formats import gguf
from tinsmith.formats.tin import Tin
from tinsmith.models.family import Family, by_name
from tinsmith.spec import Hyper
from tinsmith.system import files
from tinsmith.train.adapters import gguf as adapter_gguf
from tinsmith.train.adapters import peft_folder, prefix_bin
from tinsmith.train.adapters.peft_folder import Factors


def is_source(path: Path) -> bool:
    """Whether `compiled` accepts the path: a folder, or a GGUF file. Raises InputError for a missing path."""
    return path.is_dir() or bytes(files.map_file(path)[:4]) == gguf.MAGIC


def compiled(given: str | Path, tin: Tin, format: str = FORMATS[0]) -> bytes:
    """Compiles an adapter for the model in a tin, as compile_adapter and compile_prefix do.

    The adapter is a GGUF file, or a folder of a prefix or in peft's format. format: of its factors. Raises what
    peft_folder.read and gguf.read raise, and UnsupportedError for a layer that can't be adapted at run time.
    """
    path, facts = Path(given), tin.facts("family", "hyper")
    if prefix_bin.is_prefix(path):
        return prefix_bin.compiled(path, tin, bytes.fromhex(peft_folder.base_digest(path) or "00" * 32))
    family = by_name(facts["family"])
    hyper = family.hyper_from_facts(facts["hyper"], tin.where)
    if path.is_dir():
        source, factors = peft_folder.base_digest(path), _of_folder(path, family, hyper)
    else:
        source, factors = adapter_gguf.source(path), adapter_gguf.read(path, family, hyper)
    program = read_program(tin.entry("program.bin"))
    return compile_adapter(factors, program, format, bytes.fromhex(source or "00" * 32))


def template(path: Path) -> str | None:
    """The chat template that the adapter was trained under; None if it does not say."""
    return peft_folder.template(path) if path.is_dir() else adapter_gguf.template(path)


def digest_of(path: Path) -> str:
    """A digest of everything that determines the adapter's results."""
    if prefix_bin.is_prefix(path):
        return peft_folder.digest_of(path, (prefix_bin.CONFIG, prefix_bin.WEIGHTS))
    return peft_folder.digest_of(path) if path.is_dir() else files.sha256_file(path)


def _of_folder(folder: Path, family: Family, hyper: Hyper) -> dict[str, LowRank]:
    given = peft_folder.of_base(folder, family, hyper)
    if not given.factors:
        raise InputError(f"{folder}: adapts nothing of the text model; there is nothing to add")
    return {role: peft_folder.low_rank(str(folder), one) for role, one in given.factors.items()}


def packed(
    factors: Mapping[str, Factors],
    program: Listing,
    format: str = FORMATS[0],
    source: bytes = bytes(32),
    where: str = "the adapter",
) -> bytes:
    """Factors by role, as compile_adapter returns them. where: the adapter's name in errors."""
    return compile_adapter(
        {role: peft_folder.low_rank(where, one) for role, one in factors.items()}, program, format, source
    )
