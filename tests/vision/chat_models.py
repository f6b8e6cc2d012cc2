"""Tiny models that are asked about images, and the images."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest

from tests.models.transformers_models import CHATML
from tests.vision.vision_models import IMAGE, PATCH
from tinsmith.models import Spec

# Ids of the tiny vocabulary that no text of ASCII needs, and what they are here, by the projector's words.
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
WORDS["qwen3vl"] = WORDS["qwen35"]
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


def asking(*images: Any, text: str = "what is the thing?") -> list[dict[str, Any]]:
    parts = [{"type": "image", "pixels": one} for one in images]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}]


def split(model: Any, pixels: Any) -> tuple[Any, list[Any]]:
    """Each tile's patches [patches, row, column, channel], with their height and width."""
    from tinsmith.runtime.images import image_of
    from tinsmith.vision import pixels as cutting

    np = pytest.importorskip("numpy")
    vision = model.vision
    image = image_of({"pixels": pixels}, "here")
    cut = cutting.cut(vision.vision, vision._rule, image.width, image.height)
    patches = np.frombuffer(b"".join(vision.patches(image)), np.float32).reshape(-1, PATCH, PATCH, 3)
    return cut, [
        (patches[tile.first : tile.first + tile.height * tile.width], tile.height, tile.width)
        for tile in cut.tiles
    ]


def plane(patches: Any, height: int, width: int) -> Any:
    """[channel, row, column] of a tile."""
    cut = patches.reshape(height, width, PATCH, PATCH, 3).transpose(4, 0, 2, 1, 3)
    return cut.reshape(3, height * PATCH, width * PATCH)


def given(case: str, tiles: list[Any], ids: Any) -> dict[str, Any]:
    """What transformers' model takes beside the tokens."""
    np, torch = pytest.importorskip("numpy"), pytest.importorskip("torch")
    if case in ("smolvlm", "gemma3"):
        planes = np.stack([plane(*tile) for tile in tiles])
        more = {"token_type_ids": (ids == IMAGE).int()} if case == "gemma3" else {}
        return {"pixel_values": torch.tensor(planes if case == "gemma3" else planes[None]), **more}
    if case in ("qwen35", "qwen3vl"):
        rows, grids = [], []
        for patches, height, width in tiles:
            cut = patches.reshape(height // 2, 2, width // 2, 2, PATCH, PATCH, 3).transpose(0, 2, 1, 3, 6, 4, 5)
            rows.append(np.repeat(cut.reshape(-1, 3, 1, PATCH * PATCH), 2, axis=2).reshape(height * width, -1))
            grids.append([1, height, width])
        return {
            "pixel_values": torch.tensor(np.concatenate(rows)),
            "image_grid_thw": torch.tensor(grids),
            "mm_token_type_ids": (ids == IMAGE).int(),
        }
    most = max(height * width for _, height, width in tiles)
    rows, seen = np.zeros((len(tiles), most, 3 * PATCH**2), np.float32), np.zeros((len(tiles), most), np.int64)
    for k, (patches, height, width) in enumerate(tiles):
        rows[k, : height * width], seen[k, : height * width] = patches.reshape(height * width, -1), 1
    shapes = torch.tensor([[height, width] for _, height, width in tiles])
    return {
        "pixel_values": torch.tensor(rows),
        "pixel_attention_mask": torch.tensor(seen),
        "spatial_shapes": shapes,
    }
