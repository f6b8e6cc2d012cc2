"""The layer of Qwen3.5 that predicts a further token: what it computes, and its names in files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import tinsmith
from tests.models.predicting import predicting_spec, predictions_image
from tests.models.tiny_models import tiny_spec
from tests.models.transformers_models import logits_of, save_random, scatter, some_tokens
from tinsmith import _core, models
from tinsmith.compiler import build_tin
from tinsmith.compiler.unpack import write_gguf
from tinsmith.errors import UnsupportedError
from tinsmith.formats import gguf
from tinsmith.runtime import Model

np = pytest.importorskip("numpy")

LAYER = (
    *("attn_norm", "post_attention_norm", "attn_q", "attn_k", "attn_v", "attn_output", "attn_q_norm"),
    *("attn_k_norm", "ffn_gate", "ffn_up", "ffn_down"),
    *("nextn.eh_proj", "nextn.enorm", "nextn.hnorm", "nextn.shared_head_norm"),
)


def predicting_module(config: Any) -> Any:
    """As vLLM defines it (qwen3_5_mtp.py), of transformers' modules, without embeddings and head."""
    from torch import nn
    from transformers.models.qwen3_5 import modeling_qwen3_5 as modeling

    module = nn.Module()
    norm = lambda: modeling.Qwen3_5RMSNorm(config.hidden_size, config.rms_norm_eps)  # noqa: E731
    module.pre_fc_norm_embedding, module.pre_fc_norm_hidden, module.norm = norm(), norm(), norm()
    module.fc = nn.Linear(2 * config.hidden_size, config.hidden_size, bias=False)
    attention = config.layer_types.index("full_attention")
    module.layers = nn.ModuleList([modeling.Qwen3_5DecoderLayer(config, attention)])
    return module


def predictions_of(theirs: Any, module: Any, tokens: list[int]) -> Any:
    """Of each token and the hidden state before it, which the first has none of."""
    import torch

    given = torch.tensor([tokens])
    with torch.no_grad():
        hidden = theirs.model(given).last_hidden_state
        before = torch.cat([torch.zeros_like(hidden[:, :1]), hidden[:, :-1]], 1)
        embedded = module.pre_fc_norm_embedding(theirs.get_input_embeddings()(given))
        x = module.fc(torch.cat([embedded, module.pre_fc_norm_hidden(before)], -1))
        positions = torch.arange(len(tokens))[None]
        turned = theirs.model.rotary_emb(x, positions[None].expand(3, -1, -1))
        mask = torch.full((1, 1, len(tokens), len(tokens)), float("-inf")).triu(1)
        x = module.layers[0](x, position_embeddings=turned, attention_mask=mask, position_ids=positions)
        x = x[0] if isinstance(x, tuple) else x
        return theirs.lm_head(module.norm(x))[0].numpy()


def test_logits_equal_those_of_transformers_modules(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file

    theirs = save_random("qwen35", tmp_path)
    torch.manual_seed(9)
    module = predicting_module(theirs.config).eval()
    scatter(module)
    stored = load_file(tmp_path / "model.safetensors")
    stored |= {f"mtp.{name}": tensor for name, tensor in module.state_dict().items()}
    save_file(stored, tmp_path / "model.safetensors")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"mtp_num_hidden_layers": 1}))
    spec = models.load(tmp_path, mtp=True)
    tokens = some_tokens(266, 70)
    expected, image = predictions_of(theirs, module, tokens), predictions_image(spec)
    got = np.asarray(Model(_core.Model(image), image, threads=1).logits(tokens))
    spread = expected.max() - expected.min()
    assert np.abs(got - expected).max() <= 1e-3 * spread
    assert np.abs(got - logits_of(theirs, tokens)).max() > 0.1 * spread


@pytest.mark.parametrize("case", ["qwen35", "qwen35_moe"])
def test_files_keep_the_layer_on_request(case: str, tmp_path: Path) -> None:
    spec = predicting_spec(case)
    models.save_gguf(spec, tmp_path / "a.gguf")
    kept = models.load(tmp_path / "a.gguf", mtp=True)
    assert (kept.hyper, kept.notes) == (spec.hyper, ())
    (tmp_path / "folder").mkdir()
    models.save_hf(kept, tmp_path / "folder")
    again = models.load(tmp_path / "folder", mtp=True)
    assert again.hyper == spec.hyper
    assert {role: bytes(tensor.data) for role, tensor in again.tensors.items()} == {
        role: bytes(tensor.data) for role, tensor in spec.tensors.items()
    }
    for path in (tmp_path / "a.gguf", tmp_path / "folder"):
        plain = models.load(path)
        assert not plain.hyper.mtp  # type: ignore[attr-defined]
        assert plain.notes and "multi-token prediction layers are left out" in plain.notes[0]
        assert plain.tensors.keys() == {role for role in spec.tensors if not role.startswith("mtp.")}
    build_tin(spec, tmp_path / "a.tin")
    write_gguf(tmp_path / "a.tin", tmp_path / "b.gguf")
    assert (tmp_path / "b.gguf").read_bytes() == (tmp_path / "a.gguf").read_bytes()


def test_gguf_names_the_layer_like_llama_cpp(tmp_path: Path) -> None:
    """As one more layer; llama.cpp, which asks for all of a file's tensors, makes the same logits with it."""
    llama_cpp = pytest.importorskip("llama_cpp")
    spec = predicting_spec(main=1.0)
    models.save_gguf(spec, tmp_path / "a.gguf")
    file, layers = gguf.read(tmp_path / "a.gguf"), spec.hyper.layers
    assert file.get("qwen35.block_count") == layers + 1
    assert file.get("qwen35.nextn_predict_layers") == 1
    names = {name for name in file.tensors if name.startswith(f"blk.{layers}.")}
    assert names == {f"blk.{layers}.{name}.weight" for name in LAYER}
    tokens = some_tokens(spec.hyper.vocab, 20)
    theirs = llama_cpp.Llama(str(tmp_path / "a.gguf"), n_ctx=64, logits_all=True, verbose=False)
    theirs.eval(tokens)
    expected = np.array(theirs.scores[: len(tokens)])
    build_tin(spec, tmp_path / "a.tin")
    got = np.asarray(tinsmith.load(tmp_path / "a.tin").logits(tokens))
    assert np.abs(got - expected).max() <= 1e-3 * (expected.max() - expected.min())


def test_models_without_the_layer_are_refused(tmp_path: Path) -> None:
    for case, changes in (("llama", {}), ("qwen35", {}), ("qwen35", {"mtp_num_hidden_layers": 2})):
        spec = tiny_spec(case)
        path = tmp_path / f"{case}-{len(changes)}"
        path.mkdir()
        models.save_hf(spec, path)
        config = json.loads((path / "config.json").read_text())
        (path / "config.json").write_text(json.dumps(config | changes))
        with pytest.raises(UnsupportedError, match="multi-token prediction layer.*leave out mtp"):
            models.load(path, mtp=True)
        assert models.load(path).hyper == spec.hyper
