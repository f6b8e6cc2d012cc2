"""The lfm3 family: which layers are what, how much of a head turns, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.models.tiny_models import config_of, tiny_spec
from tests.models.transformers_models import IDS
from tinsmith.errors import FormatError, TinsmithError, UnsupportedError
from tinsmith.models.lfm3 import Lfm3Hyper, family


def hyper_of(**change: Any) -> Lfm3Hyper:
    h = family.hyper_from_hf(config_of(family) | change)
    assert isinstance(h, Lfm3Hyper)
    return h


@pytest.mark.parametrize("layers", [1, 6, 24])
def test_default_layer_types_equal_those_of_transformers(layers: int) -> None:
    modeling = pytest.importorskip("transformers.models.lfm3.modeling_lfm3")
    types = modeling.Lfm3Config(num_hidden_layers=layers).layer_types
    change = {"num_hidden_layers": layers, "layer_types": None}
    if "full_attention" not in types:
        with pytest.raises(UnsupportedError, match="no layer is attention"):
            hyper_of(**change)
        return
    h = hyper_of(**change)
    assert family.hyper_to_hf(h)["layer_types"] == types
    assert [i for i, kind in enumerate(types) if kind == "sliding_attention"] == list(h.windowed)


def test_default_rope_equals_that_of_transformers() -> None:
    modeling = pytest.importorskip("transformers.models.lfm3.modeling_lfm3")
    settings = config_of(family) | IDS | {"rope_parameters": None}
    settings.pop("architectures")
    model = modeling.Lfm3Model(modeling.Lfm3Config(**settings))
    h = hyper_of(rope_parameters=None)
    turning = int((model.rotary_emb.full_attention_inv_freq > 0).sum())
    assert (h.rope_base, h.local_base, h.turning) == (1e6, 1e4, 2 * turning)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"conv_bias": True}, UnsupportedError, "conv_bias"),
        ({"use_attention_gate": False}, UnsupportedError, "use_attention_gate"),
        ({"use_sandwich_norm": False}, UnsupportedError, "use_sandwich_norm"),
        ({"layer_types": ["conv", "mamba", "conv", "conv"]}, FormatError, "layer_types.*mamba"),
        ({"rope_parameters": {"full_attention": {}}}, FormatError, "rope_parameters.*sliding_attention"),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}, FormatError, "rope_parameters"),
    ],
)
def test_unsupported_features_are_named(
    change: dict[str, Any], error: type[TinsmithError], message: str
) -> None:
    with pytest.raises(error, match=message):
        hyper_of(**change)


def test_a_pattern_for_another_number_of_layers_is_refused() -> None:
    h = tiny_spec("lfm3").hyper
    meta = family.hyper_to_gguf(h) | {"tokenizer.ggml.tokens": ["x"] * h.vocab}
    assert meta["lfm3.attention.head_count_kv"] == [0, 2, 2, 0]
    with pytest.raises(FormatError, match="sliding_window_pattern"):
        family.hyper_from_gguf(meta | {"lfm3.attention.sliding_window_pattern": [True]}, tied=True)
