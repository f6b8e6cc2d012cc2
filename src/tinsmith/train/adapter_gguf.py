"""An adapter as a GGUF file that llama.cpp applies to the base's GGUF, in any weight format.

llama.cpp adds alpha / rank * B (A x) to what a matrix gives, A and B named after the matrix. Where GGUF has
a matrix's rows in another order than the adapter's folder, B's rows are put in that order; where its
columns are in another order, A's columns are.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tinsmith.errors import InputError, UnsupportedError
from tinsmith.formats import gguf
from tinsmith.models.family import by_name
from tinsmith.models.gguf_spec import in_file_order
from tinsmith.spec import Spec
from tinsmith.train import adapter
from tinsmith.train.adapter import Factors


def write(adapter_dir: str | Path, spec: Spec, path: str | Path) -> tuple[str, ...]:
    """Writes the adapter in adapter_dir (peft's format) for the base `spec`, atomically, F32; same bytes for
    the same adapter. Returns notes: what was left out on purpose, and what else to mind.

    Raises what adapter.read raises, and UnsupportedError for a layer that llama.cpp can't adapt.
    """
    given = adapter.read(Path(adapter_dir), spec)
    if not given.factors:
        raise InputError(f"{adapter_dir}: adapts nothing of the text model; there is nothing to export")
    for factors in given.factors.values():
        if factors.is_depthwise:
            raise UnsupportedError(
                f"{adapter_dir}: adapts {factors.name.hf}, a convolution, which llama.cpp can't; merge the "
                "adapter into its base and build that instead"
            )
    # One alpha for all: that of the first, and what differs from it goes into B.
    first = next(iter(given.factors.values()))
    alpha = first.scale * len(first.a)
    tensors = [stored for factors in given.factors.values() for stored in _stored(factors, alpha)]
    gguf.write(path, _metadata(spec, alpha), tensors)
    template = adapter.template(Path(adapter_dir))
    if template is None or template == spec.chat_template:
        return given.notes
    file = Path(adapter_dir) / adapter.TEMPLATE
    note = f"trained under another chat template than the base's; give llama.cpp --chat-template-file {file}"
    return (*given.notes, note)


def _metadata(spec: Spec, alpha: float) -> dict[str, gguf.Value]:
    plain: dict[str, Any] = {
        "general.architecture": by_name(spec.family).gguf_architecture,
        "general.type": "adapter",
        "adapter.type": "lora",
        "adapter.lora.alpha": alpha,
        "general.file_type": 0,
    }
    base = spec.general.get("name")
    if isinstance(base, str):
        plain |= {"general.base_model.count": 1, "general.base_model.0.name": base}
    return {key: gguf.value(given) for key, given in plain.items()}


def _stored(factors: Factors, alpha: float) -> Iterator[gguf.Tensor]:
    import numpy as np

    name, a, b = factors.name, factors.a, factors.b
    rank = len(a)
    order = adapter.spec_order(name)
    if order is not None:
        b, a = b[order[0]], a[:, order[1]]
    ratio = factors.scale * rank / alpha
    if ratio != 1:
        b = b * np.float32(ratio)
    rows = in_file_order(name, np.ascontiguousarray(b, dtype=np.float32).tobytes(), 4 * rank)
    float32 = gguf.tensor_type("F32")
    columns = np.ascontiguousarray(a, dtype=np.float32).tobytes()
    yield gguf.Tensor(f"{name.gguf}.lora_a", float32, (name.inputs, rank), columns)
    yield gguf.Tensor(f"{name.gguf}.lora_b", float32, (rank, name.rows), rows)
