"""What the ONNX export refuses, and that a failed one leaves nothing; what it writes is in the
other tests here."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.models.tiny_models import tiny_spec
from tinsmith import _core, cli
from tinsmith.backends import onnx_export as onnx
from tinsmith.errors import InputError, MissingExtraError, UnsupportedError
from tinsmith.models import Spec, family, save_hf

np = pytest.importorskip("numpy")
pytest.importorskip("onnxruntime_genai")
format = pytest.importorskip("onnx")


@pytest.fixture
def spec() -> Spec:
    return tiny_spec(family.by_name("llama"), num_attention_heads=4)


def test_the_builders_families_are_read_from_its_source() -> None:
    known = onnx.known_architectures()
    assert {"LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "Gemma3ForCausalLM"} <= set(known)
    assert len(known) > 20


def test_a_family_without_a_graph_is_refused_with_those_that_have_one(
    spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx, "known_architectures", lambda: ["GemmaForCausalLM", "PhiForCausalLM"])
    with pytest.raises(UnsupportedError, match="'llama'; it knows GemmaForCausalLM, PhiForCausalLM"):
        onnx.export(spec, tmp_path / "out", "int4")
    assert list(tmp_path.iterdir()) == []


def test_what_is_given_is_checked_before_anything_is_built(spec: Spec, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="int4, int8, fp16, fp32, same"):
        onnx.export(spec, tmp_path / "out", "q4_0")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="exists and can"):
        onnx.export(spec, tmp_path / "taken", "int4")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="exists and can"):
        onnx.export(spec, tmp_path / "file", "int4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "taken"]


def test_a_missing_package_names_the_command(
    spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx, "_NEEDED", ("no_such_runtime",))
    with pytest.raises(MissingExtraError, match=r"pip install 'tinsmith\[onnx\]'"):
        onnx.export(spec, tmp_path / "out", "int4")


def test_a_failed_build_leaves_what_was_there(
    spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / onnx.CONFIG).write_text("earlier")
    save_hf(spec, tmp_path / "hf")
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert cli.main(["export", str(tmp_path / "hf"), "--onnx", str(out)]) == 2
    printed = capsys.readouterr().err
    assert "model builder refuses the llama model" in printed and printed.count("\n") == 1
    assert (out / onnx.CONFIG).read_text() == "earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hf", "out"]


def small_graph(folder: Path, weight: float) -> None:
    """y = (table[ids] + sines[ids]) · head: weights of a lookup and a product, and a table that is neither."""
    from onnx import TensorProto, helper, numpy_helper

    source = np.random.default_rng(0)
    arrays = {
        "table": source.normal(size=(8, 4)).astype(np.float32),
        "sines": source.normal(size=(8, 4)).astype(np.float32),
        "head": source.normal(size=(4, 8)).astype(np.float32),
    }
    arrays["head"][0, 0] = weight
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["x"]),
        helper.make_node("GatherND", ["sines", "where"], ["s"]),
        helper.make_node("Add", ["x", "s"], ["z"]),
        helper.make_node("MatMul", ["z", "head"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [
            helper.make_tensor_value_info("ids", TensorProto.INT64, [2]),
            helper.make_tensor_value_info("where", TensorProto.INT64, [2, 1]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 8])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    format.save(
        model, folder / "model.onnx", save_as_external_data=True, location="model.onnx.data", size_threshold=0
    )


def test_float16_weights_are_computed_in_float32(tmp_path: Path) -> None:
    ort = pytest.importorskip("onnxruntime")
    small_graph(tmp_path, 1.0)
    ids = np.array([1, 5])
    given = {"ids": ids, "where": ids[:, None]}
    exact = {
        one.name: format.numpy_helper.to_array(one)
        for one in format.load(tmp_path / "model.onnx").graph.initializer
    }
    onnx._narrow(tmp_path)
    stored = {
        one.name: format.numpy_helper.to_array(one)
        for one in format.load(tmp_path / "model.onnx").graph.initializer
    }
    assert {name: array.dtype for name, array in stored.items()} == {
        "table.fp16": np.float16,
        "sines": np.float32,
        "head.fp16": np.float16,
    }
    session = ort.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    half = {name: exact[name].astype(np.float16).astype(np.float32) for name in ("table", "head")}
    expected = (half["table"][ids] + exact["sines"][ids]) @ half["head"]
    assert np.allclose(session.run(None, given)[0], expected, rtol=1e-6, atol=1e-6)
    # Rounded as our own F16 is.
    ours = _core.quantize("F16", exact["head"].tobytes(), 4, 8)
    assert stored["head.fp16"].tobytes() == ours


def test_a_weight_beyond_float16_is_refused(tmp_path: Path) -> None:
    small_graph(tmp_path, 1e6)
    with pytest.raises(UnsupportedError, match="head has a weight beyond float16"):
        onnx._narrow(tmp_path)


def test_what_onnxruntime_does_not_run_does_not_appear(
    spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(given: Spec, precision: str, options: object, scratch: Path, made: Path) -> None:
        small_graph(made, 1.0)
        sizes = {"context_length": 8, "vocab_size": 8, "decoder": {"head_size": 4, "filename": "model.onnx"}}
        whole = {"model": sizes, "search": {"past_present_share_buffer": False}}
        (made / onnx.CONFIG).write_text(json.dumps(whole))

    monkeypatch.setattr(onnx, "_build", build)
    with pytest.raises(UnsupportedError, match="what its builder made: the model has no output named logits"):
        onnx.export(spec, tmp_path / "out", "fp32")
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_export_is_replaced(spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(given: Spec, precision: str, options: object, scratch: Path, made: Path) -> None:
        (made / onnx.CONFIG).write_text(str(given.general["name"]))

    monkeypatch.setattr(onnx, "_build", build)
    monkeypatch.setattr(onnx, "try_out", lambda folder: None)
    for name in ("one", "two"):
        onnx.export(replace(spec, general={"name": name}), tmp_path / "out", "fp32")
        assert (tmp_path / "out" / onnx.CONFIG).read_text() == name
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.slow
def test_a_relative_path_is_as_good(spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.export(spec, Path("here"), "fp32")
    assert (tmp_path / "here" / "model.onnx").is_file()
