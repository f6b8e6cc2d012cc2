"""What an engine says of itself, where it finds its weights, and what it says when it can't."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.bench.tiny_bench import CONTEXT, make_spec
from tests.models.tiny_models import tiny_spec
from tinsmith import _core, models, quant
from tinsmith.backends import onnx_export
from tinsmith.bench import llama, onnx
from tinsmith.bench.native import Native, open_model
from tinsmith.compiler import build_image, build_tin
from tinsmith.errors import MissingExtraError
from tinsmith.models import Spec, family
from tinsmith.runtime import Model
from tinsmith.system.machine import Machine


def native_of(spec: Spec) -> Native:
    image = build_image(spec)
    return Native(Model(_core.Model(image), image, threads=1))


def test_native_reads_every_weight_for_a_token_when_head_and_embedding_are_one() -> None:
    engine = native_of(quant.apply(make_spec(tie_word_embeddings=True), "Q8_0"))
    assert engine.facts["weight_bytes_per_token"] == engine._model.info.bytes


def test_native_reads_one_row_of_an_embedding_of_its_own() -> None:
    spec = quant.apply(make_spec(tie_word_embeddings=False), "Q8_0")
    engine = native_of(spec)
    packed = len(_core.pack("Q8_0", spec.tensors["embed"].data, spec.hyper.vocab, spec.hyper.dim))
    row = packed // spec.hyper.vocab
    assert engine.facts["weight_bytes_per_token"] == engine._model.info.bytes - packed + row


def test_native_measures_behind_the_tokens_it_holds(gguf: Path) -> None:
    engine = open_model(gguf, "scalar", 60)
    assert engine._model.duty_cycle == 60
    assert engine.context == CONTEXT
    assert engine.facts["isa"] == "scalar"
    assert engine.facts["format"] == "Q8_0"
    engine.prepare(2, 24, 8, 4)
    assert engine.decode() > 0
    assert engine._session is not None
    # The last token chosen is not computed: nobody asked what follows it.
    assert engine._session.tokens()[0] == 24 + 4
    assert engine.prompt() > 0
    assert engine._session.tokens()[0] == 24 + 8


@pytest.mark.parametrize("name", ["gemma3", "qwen35", "lfm2"])
def test_windows_and_recurrent_states_are_measured_at_a_depth(name: str, tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp")
    spec = tiny_spec(family.by_name(name))
    models.save_gguf(spec, tmp_path / "m.gguf")
    for engine in (native_of(spec), llama.open_model(tmp_path / "m.gguf")):
        engine.prepare(1, 24, 64, 4)
        for _ in range(2):
            assert engine.decode() > 0
            assert engine.prompt() > 0


@pytest.mark.parametrize(("weights", "precision"), [("Q4_0", "int4"), ("Q8_0", "int8"), ("F16", "int8")])
def test_onnxruntime_gets_the_width_of_the_file(weights: str, precision: str, tmp_path: Path) -> None:
    sealed = tmp_path / "m.tin"
    # A head of its own in the same format: Q4_0 keeps the tied one in Q8_0.
    tensors = {
        role: tensor
        if tensor.rows == 1
        else models.Tensor(
            weights,
            tensor.rows,
            tensor.inputs,
            _core.quantize(weights, tensor.data, tensor.rows, tensor.inputs),
        )
        for role, tensor in make_spec().tensors.items()
    }
    spec = make_spec()
    build_tin(Spec(spec.family, spec.hyper, tensors, spec.tokenizer, None), sealed)
    assert onnx.precision_of(sealed) == precision


def test_a_missing_peer_names_the_pip_command(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tinsmith\[llama\]'"):
        llama.find_source(gguf)
    monkeypatch.setattr(onnx_export, "find_spec", lambda name: None if name == "onnxruntime_genai" else name)
    with pytest.raises(MissingExtraError, match=r"onnxruntime_genai .* pip install 'tinsmith\[onnx\]'"):
        onnx.find_source(gguf)


def test_the_machine_says_what_it_can() -> None:
    measured = Machine().measure(2)
    assert set(measured) == {"read_gb_s", "int8_gops"}
    # Below any computer that runs this, and above what a loop that was optimized away would show.
    assert all(0.01 < value < 1e6 for value in measured.values())


def test_measuring_refuses_a_part_of_a_line() -> None:
    begin, end = _core.measure_read(bytes(1024))
    assert begin <= end
    for size in (0, 100):
        with pytest.raises(ValueError, match="a multiple of 512 bytes"):
            _core.measure_read(bytes(size))


def test_multiply_adds_are_counted() -> None:
    (_, _, one), (_, _, many) = _core.measure_int8(1), _core.measure_int8(10)
    assert many == 10 * one > 0
