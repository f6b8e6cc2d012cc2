"""Folders of random tiny models that transformers wrote, through every format and back into transformers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.models.tiny_models import config_of, tiny_tokenizer
from tests.models.transformers_models import (
    CHATML,
    IDS,
    from_folder,
    logits_of,
    save_random,
    scatter,
    some_tokens,
)
from tinsmith import models
from tinsmith.errors import UnsupportedError
from tinsmith.formats import safetensors
from tinsmith.models.family import Family
from tinsmith.tokenizer import tokenizer_json

np = pytest.importorskip("numpy")

VISION: dict[str, Any] = {
    "hidden_size": 32,
    "image_size": 28,
    "intermediate_size": 48,
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
    "patch_size": 14,
}
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
        computed = logits_of(from_folder(tmp_path / folder), tokens)
        assert np.abs(computed - expected).max() <= (1e-5 if changed else 0) * np.ptp(expected)


def gemma3_with_vision(transformers: Any) -> Any:
    config = transformers.Gemma3Config(
        text_config=transformers.Gemma3TextConfig(**config_of("gemma3") | IDS),
        vision_config=transformers.SiglipVisionConfig(**VISION),
        mm_tokens_per_image=4,
        **IDS,
    )
    return transformers.Gemma3ForConditionalGeneration(config)


def llama_in_llava(transformers: Any) -> Any:
    config = transformers.LlavaConfig(
        text_config=transformers.LlamaConfig(**config_of("llama") | IDS),
        vision_config=transformers.CLIPVisionConfig(**VISION),
        image_token_index=5,
        **IDS,
    )
    return transformers.LlavaForConditionalGeneration(config)


@pytest.mark.parametrize("make", [gemma3_with_vision, llama_in_llava])
def test_the_text_model_of_a_multimodal_checkpoint(make: Callable[[Any], Any], tmp_path: Path) -> None:
    """As both transformers 5 and the hub name its tensors."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    torch.manual_seed(0)
    model = make(transformers).float().eval()
    scatter(model)
    folder = tmp_path / "whole"
    model.save_pretrained(folder)
    tokenizer_json.write(folder, tiny_tokenizer(266), CHATML, 512)
    spec = models.load(folder)
    assert spec.notes and all("text only" in note for note in spec.notes)
    models.save_hf(spec, tmp_path / "text")
    tokens = [token for token in some_tokens(266, 60) if token != 5]
    with torch.no_grad():
        expected = model(input_ids=torch.tensor([tokens])).logits[0].numpy()
    computed = logits_of(from_folder(tmp_path / "text"), tokens)
    assert np.abs(computed - expected).max() <= 1e-5 * np.ptp(expected)

    stored = safetensors.read(folder / safetensors.SINGLE)
    pattern = r"^(model\.language_model|language_model\.model)\."
    assert any(re.match(pattern, name) for name in stored)
    for prefix in ("language_model.model.", "model.language_model."):
        renamed = {re.sub(pattern, prefix, name): tensor for name, tensor in stored.items()}
        safetensors.write(folder / safetensors.SINGLE, renamed, {"format": "pt"})
        assert models.load(folder).tensors.keys() == spec.tensors.keys()


def test_a_multimodal_model_of_an_unknown_text_model_is_named(tmp_path: Path) -> None:
    config = {"architectures": ["NewForConditionalGeneration"], "text_config": {"model_type": "new_text"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnsupportedError, match="NewForConditionalGeneration.*'new_text'.*llama.*qwen3"):
        models.load(tmp_path)
