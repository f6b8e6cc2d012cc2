"""Presets: which format each tensor gets, and that importance reaches the quantizer."""

from __future__ import annotations

import ctypes
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from tests.models import without_llama_cpp
from tests.models.tiny_models import cases, config_of, even_importance, tiny_spec, tiny_tokenizer
from tinsmith import _core, format_names, models, quant
from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.formats import gguf
from tinsmith.models import Spec, Tensor, family


@pytest.fixture
def spec() -> Spec:
    return tiny_spec(family.by_name("llama"), hidden_size=64, intermediate_size=96)


def formats(spec: Spec) -> dict[str, str]:
    return {role.rpartition(".")[2]: tensor.format for role, tensor in spec.tensors.items()}


def test_q4_0_keeps_what_is_small_and_costly_finer(spec: Spec) -> None:
    chosen = formats(quant.apply(spec, "Q4_0"))
    assert {chosen[part] for part in ("q", "gate", "up", "down")} == {"Q4_0"}
    assert {chosen[part] for part in ("embed", "head", "k", "v", "o")} == {"Q8_0"}
    assert {chosen[part] for part in ("attn_norm", "ffn_norm", "final_norm")} == {"F32"}


@pytest.mark.parametrize("preset", ["F32", "F16", "Q8_0"])
def test_the_others_are_even(spec: Spec, preset: str) -> None:
    chosen = formats(quant.apply(spec, preset))
    assert {name for part, name in chosen.items() if not part.endswith("norm")} == {preset}


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


def test_rows_that_no_blocks_divide_take_the_next_finer_format_and_a_note() -> None:
    narrow = tiny_spec(family.by_name("llama"), hidden_size=96, intermediate_size=48, num_attention_heads=6)
    applied = quant.apply(narrow, "Q4_K_M")
    assert formats(applied) == formats(narrow) | {
        "embed": "Q5_0", "head": "Q8_0", "q": "Q5_0", "k": "Q5_0", "v": "Q8_0", "o": "Q5_0", "gate": "Q5_0",
        "up": "Q5_0", "down": "F16",
    }  # fmt: skip
    assert (
        "rows of 96 inputs don't fill Q4_K's blocks of 256: Q5_0 instead, in 12 of 21 tensors" in applied.notes
    )


def test_a_format_of_tins_is_said_to_be_another_in_gguf() -> None:
    narrow = tiny_spec(family.by_name("llama"), hidden_size=96, intermediate_size=48, num_attention_heads=6)
    assert any(
        "GGUF has no IQ3_NL: Q4_0 there, the same weights" in note
        for note in quant.apply(narrow, "IQ3_NL").notes
    )


def test_what_cannot_be_is_refused_by_name(spec: Spec) -> None:
    with pytest.raises(UnsupportedError, match="Q9_9.*known: F32, F16, BF16, Q8_0, .*Q2_K"):
        quant.apply(spec, "Q9_9")
    broken = Tensor("F32", 2, 32, struct.pack("<64f", *[float("nan")] * 64))
    with pytest.raises(FormatError, match="embed can't be quantized to Q8_0: a weight is not finite"):
        quant.apply(replace(spec, tensors={"embed": broken}), "Q8_0")
    large = Tensor("F32", 2, 32, struct.pack("<64f", *[1e30] * 64))
    with pytest.raises(FormatError, match="can't be quantized to Q8_0: a weight is not finite, or too large"):
        quant.apply(replace(spec, tensors={"embed": large}), "Q8_0")
    with pytest.raises(FormatError, match="layers.0.q: importance of 3 inputs for 64"):
        quant.apply(spec, "Q8_0", {"layers.0.q": bytes(12)})


def test_the_recipe_knows_every_preset() -> None:
    assert set(format_names.FORMATS) == set(quant.PRESETS)


# Mixed on purpose otherwise: finer in attention, or ours.
MIXES = [name for name in quant.PRESETS if name not in ("Q4_0", "IQ3_NL", "F32", "F16", "BF16")]


def held_to_llama_cpp(spec: Spec, preset: str, folder: Path) -> None:
    """The formats that it gives the same tensors."""
    llama = pytest.importorskip("llama_cpp")
    models.save_gguf(spec, folder / "f32.gguf")
    options = llama.llama_model_quantize_default_params()
    options.ftype, options.nthread = quant.PRESETS[preset].file_type, 1
    importance: dict[str, bytes] = {}
    if preset.startswith("IQ2") or preset == "IQ3_XXS":
        inputs = {name: tensor.shape[0] for name, tensor in gguf.read(folder / "f32.gguf").tensors.items()}
        matrix = even_importance(inputs)
        options.imatrix = matrix
        importance = {role: struct.pack("f", 1.0) * tensor.inputs for role, tensor in spec.tensors.items()}
    paths = [str(folder / name).encode() for name in ("f32.gguf", "theirs.gguf")]
    assert llama.llama_model_quantize(*paths, ctypes.byref(options)) == 0
    models.save_gguf(spec, folder / "ours.gguf", encode=quant.encoder(spec, preset, importance))
    ours, theirs = (gguf.read(folder / f"{name}.gguf") for name in ("ours", "theirs"))
    assert {name: tensor.type.name for name, tensor in ours.tensors.items()} == {
        name: tensor.type.name for name, tensor in theirs.tensors.items()
    }
    assert ours.get("general.file_type") == theirs.get("general.file_type")


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("preset", MIXES)
def test_the_mixes_are_llama_cpps(tmp_path: Path, preset: str, tied: bool) -> None:
    """Names, layers, shared keys and fallbacks."""
    sizes = dict(num_hidden_layers=18, intermediate_size=64, num_attention_heads=8, num_key_value_heads=2)
    for dim in (256, 96):
        spec = flat_spec(hidden_size=dim, tie_word_embeddings=tied, **sizes)
        held_to_llama_cpp(spec, preset, tmp_path)


# llama.cpp has exceptions for the 8 experts of the tiny mixtures.
@pytest.mark.parametrize(
    "case", [one for one in cases() if "moe" not in one and one not in without_llama_cpp.FAMILIES]
)
def test_every_familys_mixes_are_llama_cpps(tmp_path: Path, case: str) -> None:
    for preset in ("Q4_K_M", "Q3_K_M"):
        held_to_llama_cpp(tiny_spec(case), preset, tmp_path)


def flat_spec(**changes: object) -> Spec:
    """Weights of 0, quickly made."""
    llama = family.by_name("llama")
    hyper = llama.hyper_from_hf(config_of(llama) | changes)
    tensors = {
        name.role: Tensor("F32", name.rows, name.inputs, bytes(4 * name.rows * name.inputs))
        for name in llama.tensors(hyper)
    }
    return Spec("llama", hyper, tensors, tiny_tokenizer(hyper.vocab), None)
