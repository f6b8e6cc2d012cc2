"""Presets: which format each tensor gets, and that importance reaches the quantizer."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from tiny_models import tiny_spec

from tinsmith import _core, quant
from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.models import Spec, Tensor, family


@pytest.fixture
def spec() -> Spec:
    return tiny_spec(family.by_name("llama"), hidden_size=64, intermediate_size=96)


def formats(spec: Spec) -> dict[str, str]:
    return {role.rpartition(".")[2]: tensor.format for role, tensor in spec.tensors.items()}


def test_q4_0_keeps_what_is_small_and_costly_finer(spec: Spec) -> None:
    found = formats(quant.apply(spec, "Q4_0"))
    assert {found[part] for part in ("q", "gate", "up", "down")} == {"Q4_0"}
    assert {found[part] for part in ("embed", "head", "k", "v", "o")} == {"Q8_0"}
    assert {found[part] for part in ("attn_norm", "ffn_norm", "final_norm")} == {"F32"}


@pytest.mark.parametrize("preset", ["F32", "F16", "Q8_0"])
def test_the_others_are_even(spec: Spec, preset: str) -> None:
    found = formats(quant.apply(spec, preset))
    assert {name for part, name in found.items() if not part.endswith("norm")} == {preset}


def test_a_tensor_of_the_format_is_taken_as_it_is(spec: Spec) -> None:
    once = quant.apply(spec, "Q4_0")
    assert quant.apply(once, "Q4_0").tensors == once.tensors


def test_float32_is_what_blocks_decode_to(spec: Spec) -> None:
    tensor = quant.apply(spec, "Q8_0").tensors["layers.0.down"]
    back = quant.apply(quant.apply(spec, "Q8_0"), "F32").tensors["layers.0.down"]
    assert back.data == _core.dequantize("Q8_0", tensor.data, tensor.rows, tensor.inputs)


def test_importance_lowers_the_error_where_it_is_high(spec: Spec) -> None:
    role = "layers.0.down"
    tensor = spec.tensors[role]
    heavy = [100.0 if column % 7 == 0 else 1.0 for column in range(tensor.inputs)]
    weighted = quant.apply(spec, "Q4_0", {role: struct.pack(f"<{tensor.inputs}f", *heavy)})
    assert error(spec, weighted, role, heavy) < error(spec, quant.apply(spec, "Q4_0"), role, heavy)


def error(exact: Spec, quantized: Spec, role: str, weights: list[float]) -> float:
    tensor = quantized.tensors[role]
    shape = (tensor.rows, tensor.inputs)
    held = memoryview(_core.dequantize(tensor.format, tensor.data, *shape)).cast("f")
    meant = memoryview(exact.tensors[role].data).cast("f")
    return sum(weights[k % tensor.inputs] * (held[k] - meant[k]) ** 2 for k in range(len(held)))


def test_what_cannot_be_is_refused_by_name(spec: Spec) -> None:
    with pytest.raises(UnsupportedError, match="Q9_9.*known: F32, F16, Q8_0, Q4_0"):
        quant.apply(spec, "Q9_9")
    narrow = tiny_spec(family.by_name("llama"))
    with pytest.raises(UnsupportedError, match="48 inputs, which Q8_0's blocks of 32 do not divide"):
        quant.apply(narrow, "Q8_0")
    broken = Tensor("F32", 2, 32, struct.pack("<64f", *[float("nan")] * 64))
    with pytest.raises(FormatError, match="embed can't be quantized to Q8_0: a weight is not finite"):
        quant.apply(replace(spec, tensors={"embed": broken}), "Q8_0")
