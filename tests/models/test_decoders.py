"""What each dense family refuses, and what its config and metadata mean where that is not plain."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from tests.models.tiny_models import config_of, family_of, tiny_spec
from tinsmith import _core, models
from tinsmith.compiler import build_image
from tinsmith.errors import FormatError, TinsmithError, UnsupportedError
from tinsmith.formats import gguf
from tinsmith.formats.tin import Tin
from tinsmith.models.family import Family
from tinsmith.quant import shipping
from tinsmith.system import progress


def read(case: str, **changes: Any) -> Any:
    return family_of(case).hyper_from_hf(config_of(case) | changes)


def metadata(case: str, **changes: Any) -> Any:
    """The hyper-parameters as GGUF metadata gives them, with changes by key without prefix; None for no key."""
    family, spec = family_of(case), tiny_spec(case)
    prefix = f"{family.gguf_architecture}."
    meta = family.hyper_to_gguf(spec.hyper) | {"tokenizer.ggml.tokens": spec.tokenizer.tokens}
    meta |= {prefix + key: given for key, given in changes.items()}
    kept = {key: given for key, given in meta.items() if given is not None}
    return family.hyper_from_gguf(kept, tied=spec.hyper.tied)


@pytest.mark.parametrize(
    ("case", "change", "message"),
    [
        ("smollm3", {"no_rope_layers": [1, 1, 1, 1]}, "no_rope_layers"),
        ("smollm3", {"no_rope_layer_interval": 3}, "no_rope_layer_interval.*3.*4"),
        ("smollm3", {"use_sliding_window": True}, "use_sliding_window"),
        ("smollm3", {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "rope_scaling.*llama3"),
        ("qwen2", {"use_sliding_window": True}, "use_sliding_window"),
        ("qwen2", {"rope_scaling": {"type": "yarn", "factor": 4.0}}, "rope_scaling.*yarn"),
        ("qwen3", {"attention_bias": True}, "attention_bias"),
        ("qwen3", {"hidden_act": "relu"}, "hidden_act.*relu.*silu"),
        ("gemma2", {"layer_types": ["full_attention"] * 4}, "layer_types"),
        ("gemma2", {"tie_word_embeddings": False}, "tie_word_embeddings"),
        ("gemma2", {"hidden_activation": "gelu"}, "hidden_activation.*'gelu'.*gelu_pytorch_tanh"),
        ("gemma3", {"use_bidirectional_attention": True}, "use_bidirectional_attention"),
        ("llama", {"is_causal": False}, "is_causal is False.*True"),
        ("gemma3", {"attn_logit_softcapping": 50.0}, "attn_logit_softcapping"),
        ("gemma3", {"layer_types": ["full_attention", "sliding_attention"] * 3}, "layer_types"),
        ("gemma3", {"rope_scaling": {"rope_type": "dynamic", "factor": 8.0}}, "rope_scaling.*dynamic"),
        ("phi3", {"rope_scaling": {"rope_type": "yarn", "factor": 8.0}}, "rope_scaling.*yarn.*longrope"),
        ("phi3", {"head_dim": 64}, "head_dim.*64.*16"),
        ("granite", {"attention_bias": True}, "attention_bias"),
        ("granite", {"head_dim": 64}, "head_dim.*64.*16"),
    ],
)
def test_unsupported_features_are_named(case: str, change: dict[str, Any], message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        read(case, **change)


@pytest.mark.parametrize(
    ("case", "change", "message"),
    [
        ("llama-3", {"low_freq_factor": 4.0}, "low_freq_factor.*4.*high_freq_factor"),
        ("llama-3", {"factor": None}, "factor is None"),
        ("phi3-mini", {"short_factor": [1.0]}, "12 numbers and short_factor 1"),
        ("phi3-mini", {"long_factor": None}, "long_factor is .*; it must be a list"),
        ("phi3-mini", {"long_factor": [0.0] * 12}, "long_factor is .*; it must be a list"),
    ],
)
def test_wrong_rotations_are_named(case: str, change: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read(case, rope_scaling=config_of(case)["rope_scaling"] | change)


@pytest.mark.parametrize(
    ("case", "changes", "message"),
    [
        ("qwen2", {"rope.scaling.type": "yarn"}, r"qwen2\.rope\.scaling\.type.*yarn"),
        ("qwen3", {"rope.scaling.factor": 4.0}, r"qwen3\.rope\.scaling\.factor is 4"),
        ("olmo2", {"rope.scaling.attn_factor": 2.0}, r"olmo2\.rope\.scaling\.attn_factor is 2"),
        ("gemma3", {"attention.causal": False}, r"gemma3\.attention\.causal is False"),
        ("qwen3", {"attention.sliding_window": 32}, r"qwen3\.attention\.sliding_window"),
        ("qwen3", {"attention.value_length": 16}, r"qwen3\.attention\.value_length"),
        ("gemma2", {"attention.sliding_window_pattern": 3}, r"gemma2\.attention\.sliding_window_pattern"),
        ("gemma3", {"attention.sliding_window_pattern": [True]}, r"gemma3\.attention\.sliding_window_pattern"),
        ("gemma3", {"attention.sliding_window": None}, r"gemma3\.attention\.sliding_window"),
        ("phi3", {"rope.scaling.type": "yarn"}, r"phi3\.rope\.scaling\.type.*yarn"),
        ("granite", {"expert_count": 8}, r"granite\.expert_count"),
        ("granite", {"rope.scaling.finetuned": False}, r"granite\.rope\.scaling\.finetuned"),
        ("smollm3", {"rope.dimension_count": 8}, r"rope\.dimension_count"),
    ],
)
def test_unsupported_metadata_are_named(case: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TinsmithError, match=message):
        metadata(case, **changes)


def test_gguf_refuses_other_query_scales_of_gemma(family: Family, case: str) -> None:
    if family.name not in (largest := {"gemma2": 46, "gemma3": 62}):
        return
    h = read(case, query_pre_attn_scalar=20)
    with pytest.raises(UnsupportedError, match="query_pre_attn_scalar is 20.*32"):
        family.hyper_to_gguf(h)
    assert metadata(case, block_count=largest[family.name]).query_scalar == 16
    assert metadata(case).query_scalar == 32


def test_gemma3_configs_of_transformers_5() -> None:
    config = config_of("gemma3")
    for key in ("rope_theta", "rope_local_base_freq", "rope_scaling", "sliding_window_pattern"):
        del config[key]
    config["layer_types"] = [*["sliding_attention"] * 5, "full_attention", "sliding_attention"]
    config["rope_parameters"] = {
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
    }
    assert family_of("gemma3").hyper_from_hf(config) == read("gemma3")


def test_keys_missing_from_hub_configs() -> None:
    """Gemma 3 4B's text_config names these keys alone."""
    config = {
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "model_type": "gemma3_text",
        "num_hidden_layers": 34,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "sliding_window": 1024,
    }
    h: Any = family_of("gemma3").hyper_from_hf(config)
    assert (h.heads, h.kv_heads, h.head_dim, h.vocab, h.context) == (8, 4, 256, 262208, 131072)
    assert (h.rope_base, h.local_base, h.rope_factor, h.period, h.tied) == (1e6, 1e4, 8.0, 6, True)


def test_llama_3_scaling_is_recovered_from_its_divisors() -> None:
    """Of Llama 3.2: GGUF has what the frequencies are divided by, and no settings."""
    family = family_of("llama-3")
    scaling = config_of("llama-3")["rope_scaling"] | {"factor": 32.0}
    h: Any = read("llama-3", rope_scaling=scaling, head_dim=64)
    meta = family.hyper_to_gguf(h) | {"tokenizer.ggml.tokens": ["a"] * h.vocab}
    divisors = list(memoryview(family.derive(h)["rope_freqs"].data).cast("B").cast("f"))
    assert divisors[0] == 1 and divisors[-1] == 32 and any(1 < one < 32 for one in divisors)
    assert family.hyper_from_gguf(meta | {"rope_freqs.weight": divisors}, tied=True) == h
    divisors[-1] = 30.0
    with pytest.raises(UnsupportedError, match=r"rope_freqs\.weight.*Llama 3"):
        family.hyper_from_gguf(meta | {"rope_freqs.weight": divisors}, tied=True)


def test_longropes_magnitude() -> None:
    """By how much longer texts may be than those of the first training, unless the config says."""
    assert math.isclose(read("phi3-mini").magnitude, math.sqrt(1 + math.log(32) / math.log(4096)), rel_tol=1e-6)
    scaling = config_of("phi3-mini")["rope_scaling"]
    assert read("phi3-mini", rope_scaling=scaling | {"attention_factor": 1.5}).magnitude == 1.5
    assert read("phi3-mini", max_position_embeddings=4096).magnitude == 1
    assert read("phi3-mini", rope_scaling=scaling | {"type": "su"}) == read("phi3-mini")


def test_longrope_limits_the_context_to_the_short_factors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = tiny_spec("phi3-mini")
    models.save_gguf(spec, tmp_path / "long.gguf")
    loaded = models.load(tmp_path / "long.gguf")
    assert "4096 tokens" in loaded.notes[0] and "131072" in loaded.notes[0]
    assert gguf.read(tmp_path / "long.gguf").get("phi3.context_length") == 131072
    assert _core.Model(build_image(loaded)).info()["context"] == 4096
    assert family_of("phi3").notes(tiny_spec("phi3").hyper) == ()
    spec, weights = shipping.prepared(loaded, "built", 0), [shipping.Weights("Q8_0")]
    ((_, tin),) = shipping.build_files(spec, tmp_path, weights, progress.PlainDisplay()).values()
    assert f"built: {loaded.notes[0]}" in capsys.readouterr().err
    assert Tin(tin).manifest["notes"] == list(loaded.notes)
