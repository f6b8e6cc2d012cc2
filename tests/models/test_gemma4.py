"""What sets gemma4 apart: wide heads, layers that reuse keys and values, and what is refused of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.models.tiny_models import config_of, family_of, tiny_spec, tiny_tokenizer
from tests.models.transformers_models import CHATML, IDS, logits_of, save_random, scatter, some_tokens
from tinsmith import _core, models
from tinsmith.compiler import build_image
from tinsmith.compiler.build import compile_graph
from tinsmith.compiler.selftest import logits_digest
from tinsmith.errors import FormatError, TinsmithError, UnsupportedError
from tinsmith.formats import gguf, safetensors
from tinsmith.runtime import Model
from tinsmith.tokenizer import tokenizer_json

np = pytest.importorskip("numpy")

TYPES = ["sliding_attention", "full_attention"]
# As E2B has it, and as the dense 31B has it: wide heads whose keys are values, nothing reused, no embeddings of
# layers.
E2B = {"head_dim": 256, "global_head_dim": 512, "num_attention_heads": 2, "num_key_value_heads": 1}
DENSE = {
    "attention_k_eq_v": True,
    "hidden_size_per_layer_input": 0,
    "num_global_key_value_heads": 1,
    "num_kv_shared_layers": 0,
    "use_double_wide_mlp": False,
}


def read(**changes: Any) -> Any:
    return family_of("gemma4").hyper_from_hf(config_of("gemma4") | changes)


def metadata(changes: dict[str, Any], **config: Any) -> Any:
    """The hyper-parameters as GGUF has them, with changes by key without prefix; None for no key."""
    spec = tiny_spec("gemma4", **config)
    family = family_of("gemma4")
    meta = family.hyper_to_gguf(spec.hyper) | {"tokenizer.ggml.tokens": spec.tokenizer.tokens}
    meta["rope_freqs.weight"] = list(memoryview(bytes(spec.tensors["rope_freqs"].data)).cast("f"))
    for key, given in changes.items():
        meta[key if key.startswith("rope_freqs") else f"gemma4.{key}"] = given
    return family.hyper_from_gguf({key: one for key, one in meta.items() if one is not None}, tied=True)


@pytest.mark.parametrize("changes", [E2B, DENSE], ids=["wide", "dense"])
def test_logits_and_bits(changes: dict[str, Any], tmp_path: Path) -> None:
    sizes = {"num_hidden_layers": 4, "layer_types": TYPES * 2} if changes is E2B else {}
    theirs_model = save_random("gemma4", tmp_path / "theirs", **changes, **sizes)
    spec = models.load(tmp_path / "theirs")
    models.save_gguf(spec, tmp_path / "a.gguf")
    assert models.load(tmp_path / "a.gguf").hyper == spec.hyper
    image = build_image(spec)
    tokens = some_tokens(spec.hyper.vocab, 150)
    theirs = logits_of(theirs_model, tokens)
    ours = np.asarray(Model(_core.Model(image), image, threads=1).logits(tokens))
    assert np.abs(ours - theirs).max() <= 1e-3 * np.ptp(theirs)
    digests = {
        logits_digest(_core.Model(image, isa), tokens[:90], threads=threads, chunk=chunk)
        for isa in _core.isa_names()
        for threads, chunk in ((1, 64), (3, 7))
    }
    assert len(digests) == 1


def test_reusing_layers_have_no_cache_and_skip_unwanted_rows() -> None:
    graph = compile_graph(tiny_spec("gemma4"))
    assert len(graph.caches) == 4
    assert [cache.head_dim for cache in graph.caches] == [32, 64, 32, 64]
    assert [op.cache for op in graph.ops if op.kind == "ATTENTION"] == [0, 1, 2, 3, 2, 3]
    last = max(k for k, op in enumerate(graph.ops) if op.kind == "KV_APPEND")
    tail = [op for op in graph.ops[last:] if op.kind == "ATTENTION"]
    assert len(tail) == 3 and all(op.logit_rows for op in tail)


def test_unused_keys_are_left_out(tmp_path: Path) -> None:
    """As Google's folders have them, and the GGUF files that are made of these."""
    save_random("gemma4", tmp_path)
    spec = models.load(tmp_path)
    path = tmp_path / safetensors.SINGLE
    stored = dict(safetensors.read(path))
    for part in ("k_proj", "v_proj", "k_norm"):
        stored[f"model.layers.5.self_attn.{part}.weight"] = stored[f"model.layers.3.self_attn.{part}.weight"]
    safetensors.write(path, stored, {"format": "pt"})
    again = models.load(tmp_path)
    assert again.tensors.keys() == spec.tensors.keys()
    assert any("(3 tensors)" in note for note in again.notes)
    models.save_gguf(spec, tmp_path / "a.gguf")
    file = gguf.read(tmp_path / "a.gguf")
    held = list(file.tensors.values())
    more = [
        gguf.Tensor(f"blk.5.{part}.weight", one.type, one.shape, one.data)
        for part in ("attn_k", "attn_v", "attn_k_norm")
        for one in [file.tensors[f"blk.3.{part}.weight"]]
    ]
    gguf.write(tmp_path / "b.gguf", file.metadata, [*held, *more])
    assert models.load(tmp_path / "b.gguf").tensors.keys() == spec.tensors.keys()
    stored["model.layers.6.self_attn.k_proj.weight"] = stored["model.layers.3.self_attn.k_proj.weight"]
    safetensors.write(path, stored, {"format": "pt"})
    with pytest.raises(UnsupportedError, match=r"layers\.6"):
        models.load(tmp_path)


def test_the_text_model_of_a_whole_checkpoint(tmp_path: Path) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    text = transformers.Gemma4TextConfig(**{**config_of("gemma4"), **IDS})
    vision = transformers.Gemma4VisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=16,
    )
    config = transformers.Gemma4Config(text_config=text, vision_config=vision, audio_config=None, **IDS)
    torch.manual_seed(0)
    model = transformers.Gemma4ForConditionalGeneration(config).float().eval()
    scatter(model.model.language_model)
    model.save_pretrained(tmp_path)
    tokenizer_json.write(tmp_path, tiny_tokenizer(266), CHATML, 512)
    spec = models.load(tmp_path)
    assert spec.family == "gemma4" and any("text only" in note for note in spec.notes)
    image = build_image(spec)
    tokens = some_tokens(266, 60)
    with torch.no_grad():
        expected = model(input_ids=torch.tensor([tokens])).logits[0].numpy()
    ours = np.asarray(Model(_core.Model(image), image, threads=1).logits(tokens))
    assert np.abs(ours - expected).max() <= 1e-3 * np.ptp(expected)


def test_configs_of_older_and_newer_transformers() -> None:
    older = read()
    newer = {key: one for key, one in config_of("gemma4").items() if key != "global_head_dim"}
    newer["per_layer_config"] = {str(i): {"head_dim": 64} for i in (1, 3, 5)}
    assert family_of("gemma4").hyper_from_hf(newer) == older
    with pytest.raises(UnsupportedError, match="per_layer_config"):
        read(per_layer_config={"0": {"head_dim": 64}})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"enable_moe_block": True}, "enable_moe_block is True"),
        ({"attention_bias": True}, "attention_bias"),
        ({"use_bidirectional_attention": "all"}, "use_bidirectional_attention is 'all'"),
        ({"vocab_size_per_layer_input": 300}, "vocab_size_per_layer_input is 300.*266"),
        ({"layer_types": TYPES[::-1] * 3}, "layer_types.*full_attention for the last"),
        ({"layer_types": [TYPES[0]] * 4 + [TYPES[1]] * 2}, "num_kv_shared_layers"),
    ],
)
def test_unsupported_features_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        read(**change)


def test_wrong_sizes_are_named() -> None:
    with pytest.raises(FormatError, match=r"layer_types.*chunked_attention.*a list of 6 of full_attention"):
        read(layer_types=["chunked_attention"] * 6)
    with pytest.raises(FormatError, match="num_kv_shared_layers is 6"):
        read(num_kv_shared_layers=6)
    rope = config_of("gemma4")["rope_parameters"]
    with pytest.raises(UnsupportedError, match="'yarn'.*'proportional'"):
        read(rope_parameters=rope | {"full_attention": {"rope_type": "yarn"}})
    with pytest.raises(UnsupportedError, match=r"factor is 8\.0"):
        read(rope_parameters=rope | {"full_attention": {"rope_type": "proportional", "factor": 8.0}})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attention.key_length_swa": None}, "attention.key_length_swa"),
        ({"attention.value_length": 32}, r"attention\.value_length is 32.*64"),
        ({"attention.sliding_window_pattern": [True] * 3}, "sliding_window_pattern.*6 booleans"),
        ({"attention.head_count_kv": [2, 1, 2, 1, 4, 1]}, "head_count_kv.*one number"),
        ({"feed_forward_length": [96, 192, 96, 96, 96, 96]}, "feed_forward_length.*doubled"),
        ({"rope_freqs.weight": [1.0] * 8 + [2.0] * 24}, r"rope_freqs\.weight must be"),
        ({"expert_count": 8}, "expert_count"),
        ({"attention.shared_kv_layers": 3}, "a layer with a window, then one without"),
    ],
)
def test_unsupported_metadata_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TinsmithError, match=message):
        metadata(changes, use_double_wide_mlp=False)


def test_metadata_of_other_sizes() -> None:
    assert metadata({}, use_double_wide_mlp=True).double_ffn
    dense = metadata({}, **DENSE)
    assert (dense.keys_as_values, dense.kv_heads, dense.wide_kv_heads, dense.layer_dim) == (True, 2, 1, 0)
    assert metadata({"feed_forward_length": [96] * 6}, use_double_wide_mlp=False).double_ffn is False
