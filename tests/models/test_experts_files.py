"""Mixtures of experts: how folders and GGUF hold them, what is refused, weights that do not add up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.models.test_families import same
from tests.models.tiny_models import config_of, tiny_spec, tiny_tokenizer
from tests.models.transformers_models import CHATML, IDS, assert_same_logits, save_random, scatter
from tinsmith import models
from tinsmith.compiler import build_image
from tinsmith.errors import FormatError, TinsmithError, UnsupportedError
from tinsmith.formats import gguf, safetensors
from tinsmith.models.family import by_name
from tinsmith.tokenizer import tokenizer_json

MIXTURES = {"lfm2_moe": "layers.1.feed_forward", "qwen3_moe": "layers.0.mlp", "qwen35_moe": "layers.0.mlp"}


@pytest.mark.parametrize("case", MIXTURES)
def test_fused_experts_are_read_like_separate_ones(case: str, tmp_path: Path) -> None:
    """transformers holds a layer's experts as one tensor, and some checkpoints have it so."""
    model = save_random(case, tmp_path)
    one_by_one = models.load(tmp_path)
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    assert state[f"model.{MIXTURES[case]}.experts.gate_up_proj"].shape == (8, 64, 64)
    assert not any("experts.0." in name for name in state)
    fused = {
        name: safetensors.Tensor("F32", tuple(tensor.shape), tensor.numpy().tobytes())
        for name, tensor in state.items()
    }
    safetensors.write(tmp_path / safetensors.SINGLE, fused)
    same(models.load(tmp_path), one_by_one)


def test_a_checkpoint_with_a_vision_encoder_gives_its_text_model(tmp_path: Path) -> None:
    """As Qwen3.5's mixtures are published, their experts fused."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    text = {key: given for key, given in (config_of("qwen35_moe") | IDS).items() if key != "architectures"}
    vision = {"depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 64}
    config = transformers.Qwen3_5MoeConfig(text_config=text, vision_config=vision, tie_word_embeddings=True)
    torch.manual_seed(5)
    theirs_model = transformers.Qwen3_5MoeForConditionalGeneration(config).to(torch.float32).eval()
    scatter(theirs_model)
    theirs_model.save_pretrained(tmp_path)
    tokenizer_json.write(tmp_path, tiny_tokenizer(266), CHATML, 512)
    spec = models.load(tmp_path)
    assert "vision encoder is left out" in spec.notes[0]
    assert_same_logits(spec, theirs_model)


def test_weights_that_do_not_add_up_to_one(tmp_path: Path) -> None:
    theirs_model = save_random("qwen3_moe", tmp_path, norm_topk_prob=False)
    spec = models.load(tmp_path)
    assert_same_logits(spec, theirs_model)
    with pytest.raises(UnsupportedError, match="norm_topk_prob is false"):
        models.save_gguf(spec, tmp_path / "a.gguf")
    assert not (tmp_path / "a.gguf").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_experts_per_tok": 9}, "9 of 8 experts"),
        ({"num_experts": 513}, "513 experts are too many; at most 512"),
        ({"mlp_only_layers": [1]}, r"mlp_only_layers is \[1\]"),
        ({"decoder_sparse_step": 2}, "decoder_sparse_step is 2"),
    ],
)
def test_unsupported_features_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TinsmithError, match=message):
        by_name("qwen3_moe").hyper_from_hf(config_of("qwen3_moe") | changes)


def test_experts_of_part_tiles_are_refused_when_built() -> None:
    spec = tiny_spec("qwen3_moe", moe_intermediate_size=24)
    with pytest.raises(UnsupportedError, match=r"layers\.0\.gate_experts: an expert has 24 rows"):
        build_image(spec)


def test_a_missing_or_misshapen_expert_is_named(tmp_path: Path) -> None:
    models.save_hf(tiny_spec("qwen3_moe"), tmp_path)
    path = tmp_path / safetensors.SINGLE
    stored = safetensors.read(path)
    name = "model.layers.1.mlp.experts.5.up_proj.weight"
    kept = {key: safetensors.Tensor(t.dtype, t.shape, bytes(t.data)) for key, t in stored.items()}  # type: ignore[arg-type]
    safetensors.write(path, {key: tensor for key, tensor in kept.items() if key != name})
    with pytest.raises(FormatError, match=f"{name}' is missing"):
        models.load(tmp_path)
    safetensors.write(path, kept | {name: safetensors.Tensor("F32", (64, 32), kept[name].data)})
    with pytest.raises(FormatError, match=rf"{name}' has shape \(64, 32\); config.json says \(32, 64\)"):
        models.load(tmp_path)
    safetensors.write(path, kept | {name: safetensors.Tensor("F16", (32, 64), bytes(2 * 32 * 64))})
    with pytest.raises(UnsupportedError, match="of several types"):
        models.load(tmp_path)


def test_a_gguf_has_a_layer_s_experts_in_three_dimensions(tmp_path: Path) -> None:
    spec = tiny_spec("qwen3_moe")
    models.save_gguf(spec, tmp_path / "a.gguf")
    file = gguf.read(tmp_path / "a.gguf")
    assert file.tensors["blk.0.ffn_gate_exps.weight"].shape == (64, 32, 8)
    assert file.tensors["blk.0.ffn_down_exps.weight"].shape == (32, 64, 8)
    assert (file.get("qwen3moe.expert_count"), file.get("qwen3moe.expert_used_count")) == (8, 2)
    assert file.get("qwen3moe.expert_feed_forward_length") == 32
