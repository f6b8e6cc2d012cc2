"""Folders of random tiny models that transformers wrote, through every format and back into transformers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tiny_models import config_of, tiny_tokenizer
from transformers_models import CHATML, IDS, from_folder, logits_of, save_random, scatter, some_tokens

from tinsmith import models
from tinsmith.formats import safetensors, tokenizer_json
from tinsmith.models.family import Family

np = pytest.importorskip("numpy")

# A norm's weight that a folder stores minus one is a float32 plus one here: half a unit of it is lost.
ROUNDED = 2.0**-24


def test_folders_and_gguf_keep_weights_and_logits(case: str, family: Family, tmp_path: Path) -> None:
    model = save_random(case, tmp_path / "theirs")
    spec = models.load(tmp_path / "theirs")
    models.save_hf(spec, tmp_path / "ours")
    models.save_gguf(spec, tmp_path / "ours.gguf")
    through = models.load(tmp_path / "ours.gguf")
    assert through.hyper == spec.hyper
    models.save_hf(through, tmp_path / "through")
    tokens = some_tokens(spec.hyper.vocab)
    expected = logits_of(model, tokens)
    theirs = safetensors.read(tmp_path / "theirs" / safetensors.SINGLE)
    changed = {name.hf for name in family.tensors(spec.hyper) if name.from_hf}
    for folder in ("ours", "through"):
        ours = safetensors.read(tmp_path / folder / safetensors.SINGLE)
        assert ours.keys() == theirs.keys()
        for name, tensor in theirs.items():
            if name in changed:
                one, other = (np.frombuffer(t.data, np.float32) for t in (tensor, ours[name]))
                assert np.abs(one - other).max() <= ROUNDED, name
            else:
                assert bytes(ours[name].data) == bytes(tensor.data), name  # type: ignore[arg-type]
        found = logits_of(from_folder(tmp_path / folder), tokens)
        assert np.abs(found - expected).max() <= (1e-5 if changed else 0) * np.ptp(expected)


def test_the_text_model_of_a_multimodal_checkpoint(tmp_path: Path) -> None:
    """Gemma 3 with its vision tower, as both transformers 5 and the hub name its tensors."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    text = config_of("gemma3") | IDS
    vision = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.Gemma3Config(
        text_config=transformers.Gemma3TextConfig(**text),
        vision_config=transformers.SiglipVisionConfig(**vision, image_size=28, patch_size=14),
        mm_tokens_per_image=4,
        **IDS,
    )
    torch.manual_seed(0)
    model = transformers.Gemma3ForConditionalGeneration(config).float().eval()
    scatter(model)
    folder = tmp_path / "new"
    model.save_pretrained(folder)
    tokenizer_json.write(folder, tiny_tokenizer(266), CHATML, 512)
    spec = models.load(folder)
    assert len(spec.notes) == 1 and "vision" in spec.notes[0]
    models.save_hf(spec, tmp_path / "text")
    assert json.loads((tmp_path / "text/config.json").read_text())["architectures"] == ["Gemma3ForCausalLM"]
    tokens = some_tokens(266, 60)
    with torch.no_grad():
        expected = model(input_ids=torch.tensor([tokens])).logits[0].numpy()
    found = logits_of(from_folder(tmp_path / "text"), tokens)
    assert np.abs(found - expected).max() <= 1e-5 * np.ptp(expected)

    stored = safetensors.read(folder / safetensors.SINGLE)
    assert any(name.startswith(("model.language_model.", "language_model.model.")) for name in stored)
    for prefix in ("language_model.model.", "model.language_model."):
        renamed = {
            re.sub(r"^(model\.language_model|language_model\.model)\.", prefix, name): tensor
            for name, tensor in stored.items()
        }
        safetensors.write(folder / safetensors.SINGLE, renamed, {"format": "pt"})
        assert models.load(folder).tensors.keys() == spec.tensors.keys()
