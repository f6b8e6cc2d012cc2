"""Every tiny config through the builder, beside transformers: a process with torch each, so most are slow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tinsmith
from tests.models.tiny_models import cases, family_of, tiny_spec
from tests.models.transformers_models import logits_of, save_random, some_tokens
from tinsmith import models, quant
from tinsmith.backends.onnx_export import PRECISIONS, check, export
from tinsmith.errors import UnsupportedError

np = pytest.importorskip("numpy")
pytest.importorskip("onnxruntime_genai")

# The kernel's tables must be of whole vectors of 8, which the tiny heads' rotated part is too short for.
WIDE: dict[str, dict[str, Any]] = {
    "phi3-mini": {
        "hidden_size": 256,
        "rope_scaling": {
            "type": "longrope",
            "long_factor": [1 + 0.8 * k for k in range(24)],
            "short_factor": [1 + 0.015 * k for k in range(24)],
        },
    }
}
# What the builder has no graph for.
UNKNOWN = {"qwen3_moe", "granitehybrid", "falcon_h1", "gemma4", "lfm3", "olmo2"}
# Worst error of a logit as a share of their range: of float32, and what rounding makes of random weights.
BOUNDS = {"fp32": 1e-3, "fp16": 5e-3, "int8": 0.05, "int4": 0.5}


@pytest.mark.proves("ONNX")
@pytest.mark.parametrize("case", cases())
def test_what_the_builder_does_not_know_is_refused(case: str, tmp_path: Path, record_property: Any) -> None:
    spec = tiny_spec(case)
    if family_of(case).name not in UNKNOWN:
        check(spec, "int4")
        return
    record_property("without", "onnxruntime-genai's model builder has no graph for it")
    with pytest.raises(UnsupportedError, match="has no graph for the family .* it knows .*LlamaForCausalLM"):
        export(spec, tmp_path / "out", "int4")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.proves("ONNX")
@pytest.mark.parametrize("case", [one for one in cases() if family_of(one).name not in UNKNOWN])
def test_logits_are_those_of_transformers(case: str, tmp_path: Path) -> None:
    model = save_random(case, tmp_path / "hf", **WIDE.get(case, {}))
    spec = models.load(tmp_path / "hf")
    tokens = some_tokens(spec.hyper.vocab)
    theirs = logits_of(model, tokens)
    reach = theirs.max() - theirs.min()
    export(spec, tmp_path / "out", "fp32")
    ours = tinsmith.load(tmp_path / "out", threads=1)
    computed = np.asarray(ours.logits(tokens))
    print(f"{case}: worst {np.abs(computed - theirs).max() / reach:.2g} of the logits' range")
    assert np.abs(computed - theirs).max() <= BOUNDS["fp32"] * reach
    assert np.abs(np.asarray(ours.logits(tokens, chunk=23)) - computed).max() <= 1e-5 * reach
    # Going back, in a state that can't as in a cache that can.
    engine = ours.engine
    assert engine is not None
    engine.logits([*tokens[:150], 9, 9], 2)
    again = np.frombuffer(engine.logits(tokens[:200], 60), np.float32).reshape(60, -1)
    assert np.abs(again - computed[140:200]).max() <= 1e-5 * reach
    same_tokens_in_genai(tmp_path / "out", ours, tokens[:40])


def same_tokens_in_genai(folder: Path, ours: tinsmith.Model, prompt: list[int]) -> None:
    genai = pytest.importorskip("onnxruntime_genai")
    peer = genai.Model(str(folder))
    parameters = genai.GeneratorParams(peer)
    parameters.set_search_options(max_length=len(prompt) + 12, do_sample=False)
    generator = genai.Generator(peer, parameters)
    generator.append_tokens(np.array(prompt, np.int32))
    theirs: list[int] = []
    while len(theirs) < 12 and not generator.is_done():
        generator.generate_next_token()
        theirs.append(int(generator.get_next_tokens()[0]))
    mine = ours.generate(prompt, max_tokens=12).token_ids
    assert mine == theirs[: len(mine)] and len(theirs) - len(mine) <= 1  # the end token


@pytest.mark.slow
@pytest.mark.parametrize("precision", [one for one in PRECISIONS if one in BOUNDS and one != "fp32"])
def test_narrower_weights_stay_near(precision: str, tmp_path: Path) -> None:
    for case in ("llama", "qwen3", "gemma3"):
        model = save_random(case, tmp_path / case)
        spec = models.load(tmp_path / case)
        tokens = some_tokens(spec.hyper.vocab)
        theirs = logits_of(model, tokens)
        export(spec, tmp_path / "out", precision)
        computed = np.asarray(tinsmith.load(tmp_path / "out", threads=1).logits(tokens))
        assert np.abs(computed - theirs).max() <= BOUNDS[precision] * (theirs.max() - theirs.min())


@pytest.mark.slow
@pytest.mark.parametrize("case", ["llama", "gemma3", "qwen35"])
def test_a_ggufs_own_blocks_are_kept(case: str, tmp_path: Path) -> None:
    format = pytest.importorskip("onnx")
    wide = {"hidden_size": 64, "num_attention_heads": 4} if case == "llama" else {}
    spec = quant.apply(tiny_spec(case, **wide), "Q4_0")
    models.save_gguf(spec, tmp_path / "model.gguf")
    export(models.load(tmp_path / "model.gguf"), tmp_path / "out", "same")
    graph = format.load(tmp_path / "out" / "model.onnx", load_external_data=False).graph
    products = [node for node in graph.node if node.op_type in ("MatMul", "MatMulNBits")]
    assert sum(node.op_type == "MatMulNBits" for node in products) >= 0.5 * len(products)
    tokens = some_tokens(spec.hyper.vocab, 100)
    ours = tinsmith.load(tmp_path / "out", threads=1)
    native = np.asarray(tinsmith.load(tmp_path / "model.gguf", threads=1).logits(tokens))
    # Both round activations to int8, each in its own way.
    assert np.abs(np.asarray(ours.logits(tokens)) - native).max() <= 0.05 * (native.max() - native.min())
    same_tokens_in_genai(tmp_path / "out", ours, tokens[:20])
