"""Towers and connectors against transformers' own, and their bits against their own bits."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from vision_models import CASES, save_random

from tinsmith import _core, models
from tinsmith.compiler.build import build_image
from tinsmith.runtime.vision import Vision


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """By case: transformers' model and the tin's image."""

    @cache
    def of(case: str) -> tuple[Any, memoryview]:
        folder = tmp_path_factory.mktemp(case)
        model = save_random(case, folder)
        return model, build_image(models.load(folder))

    return of


def patches_of(pixels: np.ndarray, patch: int) -> np.ndarray:
    """[channels][height][width] as rows of patches, [row][column][channel] each."""
    c, h, w = pixels.shape
    cut = pixels.reshape(c, h // patch, patch, w // patch, patch).transpose(1, 3, 2, 4, 0)
    return np.ascontiguousarray(cut, np.float32).reshape(-1, patch * patch * c)


@pytest.mark.parametrize("case", CASES)
def test_states_are_transformers(seen, case):
    torch = pytest.importorskip("torch")
    model, image = seen(case)
    rng = np.random.default_rng(1)
    pixels = rng.normal(0, 1, (3, 32, 32)).astype(np.float32)
    with torch.no_grad():
        want = model.model.get_image_features(torch.tensor(pixels)[None, None]).pooler_output[0].numpy()
    vision = Vision(_core.Model(image))
    states = np.frombuffer(vision.see(patches_of(pixels, 8), 4, 4), np.float32).reshape(-1, vision.width)
    print(np.abs(states - want).max(), want.std())
    assert np.abs(states - want).max() < 2e-3 * want.std()
