"""Tiny models that are asked about pictures, and the pictures."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from transformers_models import CHATML
from vision_models import IMAGE

from tinsmith.models import Spec

# Ids of the tiny vocabulary that no text of ASCII needs, and what they are here, by the connector's words.
WORDS = {
    "smolvlm": {"image": "<image>", "around": "<fake_token_around_image>", "whole": "<global-img>"},
    "lfm2_vl": {
        "image": "<image>",
        "begin": "<|image_start|>",
        "end": "<|image_end|>",
        "thumbnail": "<|img_thumbnail|>",
    },
    "gemma3": {"image": "<image_soft_token>", "begin": "<start_of_image>", "end": "<end_of_image>"},
    "qwen35": {"image": "<|image_pad|>", "begin": "<|vision_start|>", "end": "<|vision_end|>"},
}
ROWS = {"smolvlm": "<row_{}_col_{}>", "lfm2_vl": "<|img_row_{}_col_{}|>"}


def with_words(case: str, spec: Spec) -> Spec:
    """The spec with the case's tokens in its vocabulary."""
    assert spec.vision is not None
    tokens, types = list(spec.tokenizer.tokens), list(spec.tokenizer.types)

    ids = {"image": IMAGE, "begin": 98, "end": 99}
    for at, (word, text) in enumerate(WORDS[case].items()):
        ids.setdefault(word, 150 + at)
        tokens[ids[word]], types[ids[word]] = text, "control"
    for number in range(9 if case in ROWS else 0):
        at = 160 + number
        tokens[at], types[at] = ROWS[case].format(number // 3 + 1, number % 3 + 1), "control"

    vision = replace(spec.vision, tokens={word: ids[word] for word in WORDS[case]})
    tokenizer = replace(spec.tokenizer, tokens=tokens, types=types)
    return replace(spec, tokenizer=tokenizer, vision=vision, chat_template=CHATML)


def photo(width: int, height: int, seed: int = 1) -> Any:
    """uint8 [height, width, 3]."""
    np = pytest.importorskip("numpy")
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def png(pixels: Any) -> bytes:
    from PIL import Image as Pillow

    out = io.BytesIO()
    Pillow.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def asking(*pictures: Any, text: str = "what is the thing?") -> list[dict[str, Any]]:
    parts = [{"type": "image", "pixels": one} for one in pictures]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}]
