"""The llama family: its features that are refused, and SmolLM2 through both directions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.models.tiny_models import config_of
from tinsmith import models
from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.formats import gguf
from tinsmith.models.llama import family


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_act": "gelu"}, "hidden_act.*gelu.*silu"),
        ({"attention_bias": True}, "attention_bias"),
        ({"mlp_bias": True}, "mlp_bias"),
        ({"sliding_window": 4096}, "sliding_window.*4096"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling.*linear"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "rope_parameters.*yarn"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
    ],
)
def test_unsupported_features_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        family.hyper_from_hf(config_of(family) | change)


def test_heads_must_be_shared_evenly() -> None:
    with pytest.raises(FormatError, match=r"6 attention heads.*4"):
        family.hyper_from_hf(config_of(family) | {"num_key_value_heads": 4})


def test_both_spellings_of_the_rope_base() -> None:
    config = config_of(family) | {"rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}}
    assert family.hyper_from_hf(config).rope_base == 500000.0
    assert family.hyper_from_hf(config_of(family) | {"rope_theta": 20000}).rope_base == 20000.0


def test_scaled_rope_in_gguf_is_refused() -> None:
    h = family.hyper_from_hf(config_of(family))
    with pytest.raises(UnsupportedError, match=r"llama\.rope\.scaling\.type.*yarn"):
        changed = {"tokenizer.ggml.tokens": ["a"], "llama.rope.scaling.type": "yarn"}
        family.hyper_from_gguf(family.hyper_to_gguf(h) | changed, tied=True)


def test_smollm2_comes_back_byte_for_byte(base_gguf: Path, tmp_path: Path) -> None:
    spec = models.load(base_gguf)
    models.save_gguf(spec, tmp_path / "again.gguf")
    before, after = gguf.read(base_gguf), gguf.read(tmp_path / "again.gguf")
    assert before.metadata == after.metadata
    assert before.tensors.keys() == after.tensors.keys()
    for name, tensor in before.tensors.items():
        assert bytes(tensor.data) == bytes(after.tensors[name].data), name  # type: ignore[arg-type]


def test_hyper_parameters_of_smollm2(base_gguf: Path) -> None:
    spec = models.load(base_gguf)
    assert (spec.hyper.layers, spec.hyper.dim, spec.hyper.head_dim) == (30, 576, 64)
    assert (spec.hyper.norm_eps, spec.hyper.rope_base, spec.hyper.tied) == (1e-5, 1e5, True)
    assert spec.tensors["embed"].format == "Q8_0"
    ends = [spec.tokenizer.tokens[token] for token in spec.tokenizer.end_tokens]
    assert ends == ["<|endoftext|>", "<|im_end|>", "<reponame>"]  # as llama.cpp prints them
    assert spec.general["license"] == "apache-2.0"


def test_rows_of_each_head_go_to_halves(base_gguf: Path) -> None:
    """Row 2i of a head in the file is row i here, row 2i + 1 is row half + i."""
    stored = gguf.read(base_gguf).tensors["blk.3.attn_k.weight"]
    data = bytes(stored.data)  # type: ignore[arg-type]
    width = len(data) // stored.shape[1]
    mine = bytes(models.load(base_gguf).tensors["layers.3.k"].data)
    for head in range(3):
        for i in range(32):
            for half in range(2):
                source, target = head * 64 + 2 * i + half, head * 64 + half * 32 + i
                assert mine[target * width :][:width] == data[source * width :][:width]
