"""An adapter as our own runtime holds it beside the base, in any weight format."""

from __future__ import annotations

from pathlib import Path

from tinsmith.compiler.adapter import FORMATS, LowRank, compile_adapter
from tinsmith.compiler.program import read_program
from tinsmith.errors import InputError, UnsupportedError
from tinsmith.formats.tin import Tin
from tinsmith.models.family import by_name
from tinsmith.train import adapter
from tinsmith.train.adapter import Factors, template

__all__ = ["FORMATS", "compiled", "template"]


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
    factors = {role: _low_rank(adapter_dir, one) for role, one in given.factors.items()}
    return compile_adapter(factors, read_program(tin.entry("program.bin")), format, source)


def _low_rank(adapter_dir: str | Path, factors: Factors) -> LowRank:
    import numpy as np

    if factors.is_depthwise:
        raise UnsupportedError(
            f"{adapter_dir}: adapts {factors.name.hf}, a convolution, which is only possible merged; merge the "
            "adapter into its base and build that instead"
        )
    a, b = factors.a, factors.b
    order = adapter.spec_order(factors.name)
    if order is not None:
        b, a = b[order[0]], a[:, order[1]]
    floats = [np.ascontiguousarray(one, dtype=np.float32).tobytes() for one in (a, b)]
    return LowRank(len(b), a.shape[1], len(a), factors.scale, *floats)
