"""The lfm2_moe family: layers without experts, how experts are weighed, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.models.tiny_models import config_of, tiny_spec
from tests.models.transformers_models import assert_same_logits, save_random
from tinsmith import models
from tinsmith.errors import FormatError, TinsmithError, UnsupportedError
from tinsmith.formats import gguf
from tinsmith.models.lfm2_moe import family


@pytest.mark.parametrize(
    "changes",
    [
        {"num_dense_layers": 0},
        {"num_dense_layers": 4},
        {"norm_topk_prob": False},
        {"routed_scaling_factor": 2.5},
        {"num_experts_per_tok": 8, "norm_topk_prob": False, "routed_scaling_factor": 0.5},
    ],
    ids=str,
)
def test_logits_equal_those_of_transformers(changes: dict[str, Any], tmp_path: Path) -> None:
    theirs_model = save_random("lfm2_moe", tmp_path, **changes)
    assert_same_logits(models.load(tmp_path), theirs_model)


@pytest.mark.parametrize("changes", [{"norm_topk_prob": False}, {"routed_scaling_factor": 2.5}], ids=str)
def test_weights_that_gguf_cannot_state_are_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    spec = tiny_spec("lfm2_moe", **changes)
    assert family.hyper_from_hf(family.hyper_to_hf(spec.hyper)) == spec.hyper
    with pytest.raises(
        UnsupportedError, match=r"norm_topk_prob is .* routed_scaling_factor .*, which GGUF can't state"
    ):
        models.save_gguf(spec, tmp_path / "a.gguf")
    assert not (tmp_path / "a.gguf").exists()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"use_expert_bias": False}, UnsupportedError, "use_expert_bias is False"),
        ({"conv_bias": True}, UnsupportedError, "conv_bias"),
        ({"num_experts_per_tok": 9}, FormatError, "9 of 8 experts"),
        ({"num_dense_layers": 5}, FormatError, "5 of 4 layers can't be without experts"),
        ({"routed_scaling_factor": -1}, FormatError, "routed_scaling_factor is -1"),
    ],
)
def test_unsupported_features_are_refused(
    changes: dict[str, Any], error: type[TinsmithError], message: str
) -> None:
    with pytest.raises(error, match=message):
        family.hyper_from_hf(config_of("lfm2_moe") | changes)


@pytest.mark.parametrize(
    ("key", "given"),
    [("expert_gating_func", 1), ("expert_weights_norm", False), ("expert_weights_scale", 2.5)],
)
def test_a_gguf_of_other_weights_is_refused(key: str, given: Any) -> None:
    spec = tiny_spec("lfm2_moe")
    meta = family.hyper_to_gguf(spec.hyper) | {"tokenizer.ggml.tokens": spec.tokenizer.tokens}
    assert family.hyper_from_gguf(meta, tied=True) == spec.hyper
    with pytest.raises(UnsupportedError, match=f"lfm2moe.{key} is {given}"):
        family.hyper_from_gguf(meta | {f"lfm2moe.{key}": given}, tied=True)


def test_expert_metadata_of_a_gguf(tmp_path: Path) -> None:
    models.save_gguf(tiny_spec("lfm2_moe"), tmp_path / "a.gguf")
    file = gguf.read(tmp_path / "a.gguf")
    assert file.tensors["blk.0.ffn_gate.weight"].shape == (64, 96)
    assert file.tensors["blk.1.ffn_gate_exps.weight"].shape == (64, 32, 8)
    bias = file.tensors["blk.1.exp_probs_b.bias"]
    assert (bias.shape, bias.type.name) == ((8,), "F32")
    assert (file.get("lfm2moe.leading_dense_block_count"), file.get("lfm2moe.expert_gating_func")) == (1, 2)
