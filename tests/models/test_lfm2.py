"""The lfm2 family: its feed-forward's width, both ways to say which layers are attention, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.models.tiny_models import config_of, tiny_spec
from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.models.lfm2 import family


@pytest.mark.parametrize(
    "change",
    [
        {"intermediate_size": 1000},
        {"intermediate_size": 1001, "block_ffn_dim_multiplier": 1.3},
        {"intermediate_size": 1001, "block_ffn_dim_multiplier": None},
        {"intermediate_size": 1000, "block_auto_adjust_ff_dim": False},
        {"block_ff_dim": 700, "block_multiple_of": 48},
    ],
)
def test_the_feed_forward_has_the_width_of_transformers(change: dict[str, Any]) -> None:
    modeling = pytest.importorskip("transformers.models.lfm2.modeling_lfm2")
    settings = config_of(family) | change
    settings.pop("architectures")
    if settings["block_ffn_dim_multiplier"] is None:  # allowed by the model, though not by the config's type
        config = modeling.Lfm2Config(**settings | {"block_ffn_dim_multiplier": 1.0})
        object.__setattr__(config, "block_ffn_dim_multiplier", None)
    else:
        config = modeling.Lfm2Config(**settings)
    width = modeling.Lfm2MLP(config).w1.weight.shape[0]
    assert family.hyper_from_hf(config_of(family) | change).ffn_dim == width


def test_attention_layers_by_index() -> None:
    h = tiny_spec("lfm2").hyper
    given = config_of(family) | {"layer_types": None, "full_attn_idxs": [2]}
    assert family.hyper_from_hf(given) == h


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"conv_bias": True}, UnsupportedError, "conv_bias"),
        ({"conv_L_cache": 1}, UnsupportedError, "convolution of 1 token"),
        ({"layer_types": ["conv"] * 4}, UnsupportedError, "no layer is attention"),
        ({"layer_types": ["conv", "mamba", "conv", "conv"]}, FormatError, "layer_types.*mamba"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, UnsupportedError, "yarn"),
    ],
)
def test_unsupported_features_are_named(change: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        family.hyper_from_hf(config_of(family) | change)


def test_key_value_heads_that_differ_are_refused() -> None:
    h = tiny_spec("lfm2").hyper
    meta = family.hyper_to_gguf(h) | {"tokenizer.ggml.tokens": ["x"] * h.vocab}
    assert meta["lfm2.attention.head_count_kv"] == [0, 0, 2, 0]
    for wrong in ([0, 0, 0, 0], [0, 2, 4, 0], 2, [0, 0, 2]):
        with pytest.raises((FormatError, UnsupportedError), match="lfm2"):
            family.hyper_from_gguf(meta | {"lfm2.attention.head_count_kv": wrong}, tied=True)
