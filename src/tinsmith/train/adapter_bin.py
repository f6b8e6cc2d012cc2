"""An adapter as our own runtime holds it beside the base, in any weight format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tinsmith.compiler.adapter import FORMATS, LowRank, compile_adapter
from tinsmith.compiler.program import Listing, read_program
from tinsmith.errors import InputError, UnsupportedError
from tinsmith.formats.tin import Tin
from tinsmith.models.family import by_name
from tinsmith.train import adapter
from tinsmith.train.adapter import Factors


def compiled(adapter_dir: str | Path, tin: Tin, format: str = FORMATS[0]) -> bytes:
    """The adapter in adapter_dir (peft's format) for the model in a tin, as compile_adapter gives it.

    Raises what adapter.read raises, and UnsupportedError for a layer that can't be adapted while it runs.
    """
    source = bytes.fromhex(adapter.base_digest(Path(adapter_dir)) or "00" * 32)
    facts = tin.facts("family", "hyper")
    family = by_name(facts["family"])
    given = adapter.of_base(Path(adapter_dir), family, family.hyper_from_facts(facts["hyper"], tin.where))
    if not given.factors:
        raise InputError(f"{adapter_dir}: adapts nothing of the text model; there is nothing to add")
    return packed(given.factors, read_program(tin.entry("program.bin")), format, source, str(adapter_dir))


def packed(
    factors: Mapping[str, Factors],
    program: Listing,
    format: str = FORMATS[0],
    source: bytes = bytes(32),
    where: str = "the adapter",
) -> bytes:
    """Factors by role, as compile_adapter gives them. where: what errors call the adapter."""
    return compile_adapter(
        {role: _low_rank(where, one) for role, one in factors.items()}, program, format, source
    )


def _low_rank(where: str, factors: Factors) -> LowRank:
    import numpy as np

    if factors.is_depthwise:
        raise UnsupportedError(
            f"{where}: adapts {factors.name.hf}, a convolution, which is only possible merged; merge the "
            "adapter into its base and build that instead"
        )
    a, b = factors.a, factors.b
    order = adapter.spec_order(factors.name)
    if order is not None:
        b, a = b[order[0]], a[:, order[1]]
    floats = [np.ascontiguousarray(one, dtype=np.float32).tobytes() for one in (a, b)]
    return LowRank(len(b), a.shape[1], len(a), factors.scale, *floats)
