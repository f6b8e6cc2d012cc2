"""Random tiny vision-language models by transformers' own classes, as folders that its save_pretrained wrote."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_models import config_of, tiny_tokenizer
from transformers_models import CHATML, IDS, scatter

from tinsmith.tokenizer import tokenizer_json

TOWER: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
}
IMAGE = 100  # the id of the placeholder


def smolvlm(transformers: Any) -> tuple[Any, Any]:
    tower = transformers.SmolVLMVisionConfig(**TOWER, image_size=32, patch_size=8)
    text = transformers.LlamaConfig(**config_of("llama") | IDS)
    config = transformers.SmolVLMConfig(
        text_config=text, vision_config=tower, scale_factor=2, image_token_id=IMAGE, tie_word_embeddings=False
    )
    processor = transformers.SmolVLMImageProcessor(
        size={"longest_edge": 64}, max_image_size={"longest_edge": 32}
    )
    return transformers.SmolVLMForConditionalGeneration(config), processor


CASES: dict[str, Callable[[Any], tuple[Any, Any]]] = {"smolvlm": smolvlm}


def save_random(case: str, folder: Path) -> Any:
    """Writes the folder of a case; the model of random weights that is in it, float32."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    torch.manual_seed(zlib.crc32(case.encode()))
    model, processor = CASES[case](transformers)
    scatter(model)
    model.eval()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    text = json.loads((folder / "config.json").read_text())["text_config"]
    tokenizer_json.write(folder, tiny_tokenizer(text["vocab_size"]), CHATML, text["max_position_embeddings"])
    return model
