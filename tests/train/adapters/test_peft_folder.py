"""Adapter folders from elsewhere, and the GGUF files made of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.train.tiny_training import make_spec
from tinsmith import cli, models
from tinsmith.errors import FormatError, InputError, UnsupportedError
from tinsmith.formats import gguf
from tinsmith.layouts import columns_in_order, rows_in_order
from tinsmith.models.family import TensorName, by_name
from tinsmith.spec import Spec, Tensor
from tinsmith.train.adapters import gguf as adapter_gguf
from tinsmith.train.adapters import peft_folder
from tinsmith.train.merge import merge
from tinsmith.train.tensors import to_float32

RANKS = {"q_proj": 4, "down_proj": 8}


@pytest.fixture
def spec() -> Spec:
    return make_spec(layers=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As peft writes it, for q_proj and down_proj of a llama, the ranks not the same."""
    torch.manual_seed(2)
    sizes = {"self_attn.q_proj": (64, 64), "mlp.down_proj": (64, 96)}
    tensors = {}
    for module, (rows, inputs) in sizes.items():
        rank = RANKS[module.rpartition(".")[2]]
        prefix = f"base_model.model.model.layers.0.{module}"
        tensors[f"{prefix}.lora_A.weight"] = torch.randn(rank, inputs)
        tensors[f"{prefix}.lora_B.weight"] = torch.randn(rows, rank)
    save_file(tensors, tmp_path / peft_folder.WEIGHTS)
    set_config(tmp_path, peft_type="LORA", r=4, lora_alpha=12, rank_pattern={"down_proj": 8})
    return tmp_path


def set_config(folder: Path, **settings: Any) -> None:
    path = folder / peft_folder.CONFIG
    before = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(before | settings))


def rename(folder: Path, old: str, new: str) -> None:
    tensors = load_file(folder / peft_folder.WEIGHTS)
    save_file(
        {name.replace(old, new): tensor for name, tensor in tensors.items()}, folder / peft_folder.WEIGHTS
    )


def stored_update(path: Path, name: str) -> Any:
    """What llama.cpp adds to a matrix."""
    file = gguf.read(path)
    arrays = {}
    for part in ("a", "b"):
        tensor = file.tensors[f"{name}.lora_{part}"]
        arrays[part] = np.frombuffer(tensor.data, np.float32).reshape(tensor.shape[::-1])  # type: ignore[arg-type]
    return file.get("adapter.lora.alpha") / len(arrays["a"]) * (arrays["b"] @ arrays["a"])


def test_each_module_has_its_scale(spec: Spec, folder: Path) -> None:
    given = peft_folder.read(folder, spec)
    assert {role: factors.scale for role, factors in given.factors.items()} == {
        "layers.0.q": 12 / 4,
        "layers.0.down": 12 / 8,
    }
    set_config(folder, use_rslora=True, alpha_pattern={"self_attn.q_proj": 10})
    given = peft_folder.read(folder, spec)
    assert {role: factors.scale for role, factors in given.factors.items()} == {
        "layers.0.q": 10 / 4**0.5,
        "layers.0.down": 12 / 8**0.5,
    }


@pytest.mark.parametrize(
    "settings",
    [{}, {"use_rslora": True, "alpha_pattern": {"q_proj": 10}}, {"alpha_pattern": {"down_proj": 0.3}}],
)
def test_the_gguf_file_adds_what_merging_adds(spec: Spec, folder: Path, tmp_path: Path, settings: Any) -> None:
    set_config(folder, **settings)
    adapter_gguf.write(folder, spec, tmp_path / "adapter.gguf")
    merged = merge(spec, folder)
    file = gguf.read(tmp_path / "adapter.gguf")
    assert (file.get("general.type"), file.get("adapter.type")) == ("adapter", "lora")
    assert file.get("general.architecture") == "llama"
    assert set(file.tensors) == {
        f"blk.0.{name}.weight.lora_{part}" for name in ("attn_q", "ffn_down") for part in "ab"
    }
    down = to_float32(merged.tensors["layers.0.down"]) - to_float32(spec.tensors["layers.0.down"])
    np.testing.assert_allclose(
        stored_update(tmp_path / "adapter.gguf", "blk.0.ffn_down.weight"), down, atol=1e-4
    )
    # GGUF pairs the values that are rotated together: 0 and 8 of a head of 16, 1 and 9, and so on.
    q = to_float32(merged.tensors["layers.0.q"]) - to_float32(spec.tensors["layers.0.q"])
    q = q.reshape(4, 2, 8, 64).swapaxes(1, 2).reshape(64, 64)
    np.testing.assert_allclose(stored_update(tmp_path / "adapter.gguf", "blk.0.attn_q.weight"), q, atol=1e-4)


@pytest.mark.parametrize(
    "name", ["model.language_model.layers", "language_model.model.layers", "language_model.layers"]
)
def test_modules_of_a_multimodal_model_are_the_text_models(spec: Spec, folder: Path, name: str) -> None:
    before = merge(spec, folder)
    rename(folder, "model.model.layers", f"model.{name}")
    after = merge(spec, folder)
    for role, tensor in before.tensors.items():
        assert bytes(after.tensors[role].data) == bytes(tensor.data)


def test_what_the_family_leaves_out_is_left_out_of_the_adapter_too(
    spec: Spec, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = load_file(folder / peft_folder.WEIGHTS)
    for part, shape in (("A", (4, 7)), ("B", (9, 4))):
        tensors[f"base_model.model.model.visual.blocks.0.fc1.lora_{part}.weight"] = torch.zeros(shape)
    save_file(tensors, folder / peft_folder.WEIGHTS)
    with pytest.raises(InputError, match=r"model\.visual\.blocks\.0\.fc1, which the base lacks"):
        merge(spec, folder)
    kind = type(by_name("llama"))
    monkeypatch.setattr(kind, "ignored_hf", ((r"model\.visual\..*", "the vision tower is left out"),))
    notes = ("the vision tower is left out (1 of the adapter's layers)",)
    assert merge(spec, folder).notes == notes
    assert adapter_gguf.write(folder, spec, tmp_path / "adapter.gguf") == notes


def test_another_chat_template_is_noted(spec: Spec, folder: Path, tmp_path: Path) -> None:
    file = folder / peft_folder.TEMPLATE
    for template, notes in ((spec.chat_template, 0), ("{{ messages }}", 1)):
        file.write_text(str(template))
        noted = adapter_gguf.write(folder, spec, tmp_path / "adapter.gguf")
        assert len(noted) == notes
    assert str(file) in noted[0]


def test_factors_follow_the_layout_of_their_matrix() -> None:
    """Rows in another order, or columns by runs of two, wherever the family says so."""
    places = [2, 0, 1]

    def rows(tensor: Tensor) -> Tensor:
        return rows_in_order(tensor, places)

    def columns(tensor: Tensor) -> Tensor:
        return columns_in_order(tensor, places, 2)

    def transposed(tensor: Tensor) -> Tensor:
        data = np.frombuffer(tensor.data, np.int32).reshape(tensor.rows, tensor.inputs).T.tobytes()
        return Tensor("F32", tensor.rows, tensor.inputs, data)

    def name(change: Any) -> TensorName:
        return TensorName("x", "x.weight", "x.weight", 3, 6, from_hf=change, to_hf=change)

    assert peft_folder.spec_order(name(None)) is None
    for change, wanted in ((rows, ([2, 0, 1], [*range(6)])), (columns, ([0, 1, 2], [4, 5, 0, 1, 2, 3]))):
        ordered = peft_folder.spec_order(name(change))
        assert ordered is not None
        assert (ordered[0].tolist(), ordered[1].tolist()) == wanted
    with pytest.raises(UnsupportedError, match="no order of rows and columns"):
        peft_folder.spec_order(name(transposed))


def test_a_depthwise_convolution_is_merged_and_not_exported(tmp_path: Path) -> None:
    """peft's own network of such a layer: a convolution to the rank, then one of width 1, in as many groups."""
    channels, width, rank = 4, 3, 8
    torch.manual_seed(3)
    first = torch.nn.Conv1d(channels, rank, width, groups=channels, bias=False)
    second = torch.nn.Conv1d(rank, channels, 1, groups=channels, bias=False)
    name = TensorName("conv", "conv.weight", "conv.weight", channels, width, hf_shape=(channels, 1, width))
    pair = {"A": first.weight.detach().numpy(), "B": second.weight.detach().numpy()}
    factors = peft_folder._matched(tmp_path, name, "conv", pair, {"lora_alpha": 16})
    x = torch.randn(1, channels, 20)
    update = torch.from_numpy(factors.update()).view(channels, 1, width)
    given = torch.nn.functional.conv1d(x, update, groups=channels)
    torch.testing.assert_close(given, 2 * second(first(x)), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"use_dora": True}, UnsupportedError, "use_dora = True; only plain LoRA"),
        ({"init_lora_weights": "pissa"}, UnsupportedError, "init_lora_weights = 'pissa'"),
        ({"target_parameters": ["mlp.experts.down_proj"]}, UnsupportedError, "target_parameters"),
        ({"lora_alpha": None}, FormatError, "lora_alpha is None; it must be a number above 0"),
        ({"alpha_pattern": ["q_proj"]}, FormatError, "alpha_pattern must give numbers above 0"),
        ({"alpha_pattern": {"q_proj": 0}}, FormatError, "alpha_pattern must give numbers above 0"),
        ({"alpha_pattern": {"(": 1}}, FormatError, r"alpha_pattern has '\(', no regular expression"),
        ({"peft_type": "IA3"}, UnsupportedError, "not a LoRA adapter"),
    ],
)
def test_what_is_not_plain_lora_is_refused(
    spec: Spec, folder: Path, settings: Any, error: type[Exception], message: str
) -> None:
    set_config(folder, **settings)
    with pytest.raises(error, match=message):
        merge(spec, folder)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_factors_are_taken_as_they_are(spec: Spec, folder: Path, dtype: torch.dtype) -> None:
    narrow = {name: tensor.to(dtype) for name, tensor in load_file(folder / peft_folder.WEIGHTS).items()}
    save_file(narrow, folder / peft_folder.WEIGHTS)
    factors = peft_folder.read(folder, spec).factors["layers.0.q"]
    wanted = narrow["base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"].float().numpy()
    assert np.array_equal(factors.a, wanted)


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_no_number_is_named(spec: Spec, folder: Path, dtype: torch.dtype, value: float) -> None:
    held = {name: tensor.to(dtype) for name, tensor in load_file(folder / peft_folder.WEIGHTS).items()}
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"
    held[name][1, 0] = value
    save_file(held, folder / peft_folder.WEIGHTS)
    with pytest.raises(FormatError, match=f"{name} has values that are infinite or no numbers; .* train again"):
        peft_folder.read(folder, spec)


def test_the_verb_exports_for_a_base_of_either_kind(
    spec: Spec, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models.save_hf(spec, tmp_path / "base")
    models.save_gguf(spec, tmp_path / "base.gguf")
    for base in ("base", "base.gguf"):
        out = tmp_path / f"{base}.adapter"
        options = ["--adapter", str(folder), "--base", str(tmp_path / base), "--gguf", str(out)]
        assert cli.main(["export", *options]) == 0
        assert capsys.readouterr().out == f"{out}\n"
    made = [(tmp_path / f"{base}.adapter").read_bytes() for base in ("base", "base.gguf")]
    assert made[0] == made[1]
    for arguments, message in (
        (["--gguf", "x", "--adapter", str(folder)], "--adapter needs --base"),
        (["--gguf", "x"], "give either FILE or --adapter"),
        (["--onnx", "x", "--adapter", str(folder), "--base", "b"], "--adapter excludes --onnx"),
    ):
        assert cli.main(["export", *arguments]) == 2
        assert message in capsys.readouterr().err


def test_an_adapter_of_nothing_is_not_exported(spec: Spec, folder: Path, tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, folder / peft_folder.WEIGHTS)
    with pytest.raises(UnsupportedError, match="tensor x is not a LoRA factor"):
        adapter_gguf.write(folder, spec, tmp_path / "adapter.gguf")
    save_file({}, folder / peft_folder.WEIGHTS)
    with pytest.raises(InputError, match="adapts nothing"):
        adapter_gguf.write(folder, spec, tmp_path / "adapter.gguf")
    assert not (tmp_path / "adapter.gguf").exists()


def test_a_tied_head_is_not_adapted(folder: Path) -> None:
    rename(folder, "model.layers.0.mlp.down_proj", "lm_head")
    with pytest.raises(InputError, match="lm_head, which the base lacks"):
        merge(make_spec(layers=1, tied=True), folder)
    untied = make_spec(layers=1, tied=False)
    with pytest.raises(InputError, match=r"lm_head\.weight is \[259, 64\] in the base"):
        merge(replace(untied), folder)
