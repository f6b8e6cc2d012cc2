"""Images cut by the core beside transformers' image processors (those over Pillow): the same floats."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from tinsmith import _core
from tinsmith.errors import RuntimeFault
from tinsmith.spec import ImageRules, Vision
from tinsmith.vision import pixels
from tinsmith.vision.image_rules import Bounded, Natural, Square, Tiles

PATCH, MERGE, MOST = 16, 2, 1 << 20
HALF = (0.5, 0.5, 0.5)
CLIP = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
SIZES = [
    (1, 1),
    (20, 300),
    (64, 64),
    (100, 37),
    (37, 100),
    (300, 512),
    (513, 17),
    (389, 268),
    (65, 262),
    (400, 444),
]


def vision(images: ImageRules, patch: int = PATCH) -> Vision:
    """As much of one as rules are made of."""
    return cast(
        Vision,
        SimpleNamespace(
            sizes=SimpleNamespace(patch=patch), joint=SimpleNamespace(merge=MERGE), image_rules=images
        ),
    )


def photo(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(width * height).integers(0, 256, (height, width, 3), dtype=np.uint8)


def ours(rule: bytes, image: np.ndarray) -> np.ndarray:
    """float32[patches][floats]."""
    height, width, _ = image.shape
    columns = _core.pixels_plan(rule, width, height)[1]
    return np.frombuffer(_core.pixels(rule, image.data, 3 * width, width, height), np.float32).reshape(
        -1, columns
    )


def patches(planes: np.ndarray, patch: int = PATCH) -> np.ndarray:
    """float32[3][height][width] as rows of [patch][patch][3]."""
    _, height, width = planes.shape
    cut = planes.reshape(3, height // patch, patch, width // patch, patch)
    return cut.transpose(1, 3, 2, 4, 0).reshape(-1, 3 * patch * patch)


def theirs(processor: Any, image: np.ndarray) -> Any:
    return processor([[Image.fromarray(image)]], return_tensors="np")["pixel_values"]


@pytest.mark.parametrize("split", [True, False])
@pytest.mark.parametrize("size", SIZES)
def test_tiles_are_those_of_idefics3(size: tuple[int, int], split: bool) -> None:
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    options = {
        "size": {"longest_edge": 192},
        "max_image_size": {"longest_edge": 64},
        "do_image_splitting": split,
    }
    tiles = theirs(Idefics3ImageProcessorPil(**options), photo(*size))[0]
    rule = pixels.rules(vision(Tiles("lanczos", HALF, HALF, 64, 192, split)), MOST)
    assert np.array_equal(ours(rule, photo(*size)), np.concatenate([patches(tile) for tile in tiles]))


@pytest.mark.parametrize("size", SIZES)
def test_a_square_is_that_of_gemma3(size: tuple[int, int]) -> None:
    from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil

    planes = theirs(Gemma3ImageProcessorPil(size={"height": 56, "width": 56}), photo(*size))[0]
    rule = pixels.rules(vision(Square("bilinear", HALF, HALF, 56), 14), MOST)
    assert np.array_equal(ours(rule, photo(*size)), patches(planes, 14))


@pytest.mark.parametrize("size", SIZES)
def test_a_shape_within_pixels_is_that_of_qwen(size: tuple[int, int]) -> None:
    """In its own order too: blocks of patches, each of two equal frames."""
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    rows = theirs(Qwen2VLImageProcessorPil(size={"shortest_edge": 3136, "longest_edge": 50176}), photo(*size))
    rule = bytearray(pixels.rules(vision(Bounded("bicubic", *CLIP, 3136, 50176), 14), MOST))
    plain = ours(bytes(rule), photo(*size))
    struct.pack_into("<2I", rule, 44, MERGE, 2)
    assert np.array_equal(ours(bytes(rule), photo(*size)), rows)
    _, _, _, [(width, height, _, _)] = _core.pixels_plan(bytes(rule), *size)
    cut = rows.reshape(height // 28, width // 28, 2, 2, 3, 2, 14, 14)[:, :, :, :, :, 0]
    assert np.array_equal(plain, cut.transpose(0, 2, 1, 3, 5, 6, 4).reshape(plain.shape))


def test_views_are_those_of_lfm2() -> None:
    """By its usual settings. Its processor resizes by torchvision, and this by Pillow: docs/vision.md."""
    rule = pixels.rules(vision(Natural("bilinear", HALF, HALF, 512, True, True, 2, 10, 64, 256, 2.0)), MOST)
    made = json.loads(Path(__file__).with_name("lfm2_views.json").read_text(encoding="utf-8"))
    assert len(made) > 60
    for one in made:
        views = _core.pixels_plan(rule, *one["image"])[3]
        assert [list(view) for view in views] == one["views"], one["image"]


@pytest.mark.parametrize("size", [(40, 60), (389, 268), (262, 130)])
def test_lfm2s_tiles_are_pillows(size: tuple[int, int]) -> None:
    rule = pixels.rules(vision(Natural("bilinear", HALF, HALF, 64, True, True, 2, 10, 4, 16, 2.0)), MOST)
    rows = []
    for width, height, across, down in _core.pixels_plan(rule, *size)[3]:
        image = np.asarray(Image.fromarray(photo(*size)).resize((width, height), Image.Resampling.BILINEAR))
        planes = ((image * (1 / 255)).astype(np.float32) - np.float32(0.5)) / np.float32(0.5)
        for band in np.split(planes, down):
            rows += [patches(tile.transpose(2, 0, 1)) for tile in np.split(band, across, axis=1)]
    assert np.array_equal(ours(rule, photo(*size)), np.concatenate(rows))


def test_what_no_encoder_could_take_is_refused() -> None:
    natural = pixels.rules(vision(Natural("bilinear", HALF, HALF, 64, True, True, 2, 10, 4, 16, 2.0)), MOST)
    with pytest.raises(RuntimeFault, match="623 x 3 is too long and narrow"):
        _core.pixels_plan(natural, 623, 3)
    bounded = pixels.rules(vision(Bounded("bicubic", *CLIP, 3136, 50176)), MOST)
    with pytest.raises(RuntimeFault, match="623 x 3 is more than 200 times as long as wide"):
        _core.pixels_plan(bounded, 623, 3)
    for field, at in (("filter", 36), ("patch, merge or frames", 40), ("tiling", 32)):
        wrong = bytearray(bounded)
        struct.pack_into("<I", wrong, at, 999)
        with pytest.raises(RuntimeFault, match=f"rules' {field} is out of range"):
            _core.pixels_plan(bytes(wrong), 20, 20)
    with pytest.raises(ValueError, match="rules of 95 bytes; tin_pixels_rules has 96"):
        _core.pixels_plan(bounded[:-1], 20, 20)


def test_any_size_of_image_has_a_plan_or_a_line() -> None:
    rng = random.Random(5)
    rules = [
        pixels.rules(vision(images), MOST)
        for images in (
            Square("lanczos", HALF, HALF, 896),
            Tiles("lanczos", HALF, HALF, 512, 2048, True),
            Natural("bilinear", HALF, HALF, 512, True, True, 2, 10, 64, 256, 2.0),
            Bounded("bicubic", *CLIP, 65536, 16777216),
        )
    ]
    for _ in range(2000):
        width, height = (
            rng.choice([1, 2, 65535, rng.randint(1, 65535), rng.randint(1, 2000)]) for _ in range(2)
        )
        for rule in rules:
            try:
                rows, columns, memory, views = _core.pixels_plan(rule, width, height)
            except RuntimeFault as error:
                assert "crop it" in str(error)
                continue
            assert rows == sum(w // PATCH // a * a * (h // PATCH // d) * d for w, h, a, d in views)
            assert columns == 3 * PATCH * PATCH
            assert memory < 400 << 20, (width, height)
