"""The granitehybrid family: with rotation, by the names of older configs, its fused feed-forward in GGUF's two
tensors, dense models, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.models.tiny_models import config_of, in_format, tiny_spec
from tests.models.transformers_models import from_folder, logits_of, save_random, some_tokens
from tinsmith import _core, models
from tinsmith.compiler import build_image
from tinsmith.compiler.build import build_tin
from tinsmith.compiler.unpack import write_gguf
from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.formats import gguf
from tinsmith.models.granitehybrid import family
from tinsmith.runtime import Model

np = pytest.importorskip("numpy")


def test_attention_that_rotates(tmp_path: Path) -> None:
    theirs = save_random("granitehybrid", tmp_path / "folder", position_embedding_type="rope")
    spec = models.load(tmp_path / "folder")
    models.save_gguf(spec, tmp_path / "a.gguf")
    tokens = some_tokens(266, 60)
    expected = logits_of(theirs, tokens)
    image = build_image(models.load(tmp_path / "a.gguf"))
    got = np.asarray(Model(_core.Model(image), image, threads=1).logits(tokens))
    assert np.abs(got - expected).max() <= 1e-3 * np.ptp(expected)
    still = build_image(replace(spec, hyper=replace(spec.hyper, rotates=False)))  # type: ignore[call-arg]
    other = np.asarray(Model(_core.Model(still), still, threads=1).logits(tokens))
    assert np.abs(other - expected).max() > 0.05 * np.ptp(expected)


def test_layer_names_of_older_configs() -> None:
    config = config_of("granitehybrid")
    older = {"full_attention": "attention", "linear_attention": "mamba"}
    names = [older[name] for name in config["layer_types"]]
    assert family.hyper_from_hf({**config, "layer_types": names}) == family.hyper_from_hf(config)
    assert family.hyper_from_hf({**config, "mamba_d_head": "auto"}) == family.hyper_from_hf(config)


def test_gate_and_up_are_two_tensors_in_gguf(tmp_path: Path) -> None:
    spec = in_format(tiny_spec("granitehybrid"), "Q8_0")
    both = bytes(spec.tensors["layers.1.gate_up"].data)
    models.save_gguf(spec, tmp_path / "a.gguf")
    file = gguf.read(tmp_path / "a.gguf")
    halves = [bytes(file.tensors[f"blk.1.ffn_{part}.weight"].data) for part in ("gate", "up")]  # type: ignore[arg-type]
    assert halves == [both[: len(both) // 2], both[len(both) // 2 :]]

    build_tin(spec, tmp_path / "a.tin")
    write_gguf(tmp_path / "a.tin", tmp_path / "again.gguf")
    assert (tmp_path / "again.gguf").read_bytes() == (tmp_path / "a.gguf").read_bytes()

    up = file.tensors["blk.1.ffn_up.weight"]
    floats = _core.dequantize("Q8_0", up.data, 96, 64)
    tensors = {**file.tensors, up.name: replace(up, type=gguf.tensor_type("F32"), data=floats)}
    gguf.write(tmp_path / "mixed.gguf", file.metadata, tensors.values())
    with pytest.raises(UnsupportedError, match=r"ffn_gate\.weight Q8_0, blk\.1\.ffn_up\.weight F32.*alike"):
        models.load(tmp_path / "mixed.gguf")


def test_a_dense_granite_4_is_read_as_granite(tmp_path: Path) -> None:
    dense = {
        "layer_types": ["attention"] * 4,
        "position_embedding_type": "rope",
        "shared_intermediate_size": 112,
    }
    theirs = save_random("granitehybrid", tmp_path / "folder", **dense)
    spec = models.load(tmp_path / "folder")
    assert (spec.family, spec.hyper.ffn_dim) == ("granite", 112)
    models.save_hf(spec, tmp_path / "again")
    tokens = some_tokens(266, 60)
    expected = logits_of(theirs, tokens)
    assert np.abs(logits_of(from_folder(tmp_path / "again"), tokens) - expected).max() <= 1e-5 * np.ptp(
        expected
    )
    models.save_gguf(spec, tmp_path / "a.gguf")
    file = gguf.read(tmp_path / "a.gguf")
    shared = {"granite.expert_shared_feed_forward_length": gguf.value(112)}
    gguf.write(tmp_path / "a.gguf", file.metadata | shared, list(file.tensors.values()))
    image = build_image(models.load(tmp_path / "a.gguf"))
    got = np.asarray(Model(_core.Model(image), image, threads=1).logits(tokens))
    assert np.abs(got - expected).max() <= 1e-3 * np.ptp(expected)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"num_local_experts": 4}, UnsupportedError, "num_local_experts is 4"),
        ({"attention_bias": True}, UnsupportedError, "attention_bias"),
        ({"mamba_proj_bias": True}, UnsupportedError, "mamba_proj_bias"),
        ({"mamba_conv_bias": False}, UnsupportedError, "mamba_conv_bias"),
        ({"position_embedding_type": "alibi"}, UnsupportedError, "position_embedding_type.*alibi"),
        ({"mamba_n_groups": 2}, UnsupportedError, "mamba_n_groups is 2"),
        ({"mamba_d_state": 24}, UnsupportedError, "states of 24; supported: multiples of 16"),
        ({"mamba_d_head": 8}, FormatError, "mamba_n_heads 4 times mamba_d_head 8 is not.*128"),
        ({"mamba_d_conv": 1}, UnsupportedError, "convolution of 1 token"),
        ({"shared_intermediate_size": 100}, UnsupportedError, "feed-forward of 100"),
        ({"layer_types": ["mamba"] * 4}, UnsupportedError, "0 of 4 layers are attention"),
        ({"layer_types": ["attention"] * 4}, UnsupportedError, "4 of 4 layers.*all with RoPE"),
        ({"time_step_limit": [0.001, 0.1]}, UnsupportedError, "time_step_limit"),
        ({"layer_types": ["mamba", "conv", "attention", "mamba"]}, FormatError, "layer_types.*conv"),
        ({"layer_types": ["mamba"]}, FormatError, "layer_types.*list of 4"),
    ],
)
def test_unsupported_features_are_named(change: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        family.hyper_from_hf(config_of(family) | change)
