"""A new tower's first layer: what patches vary in counts alike, in the order in which training sees them."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tinsmith.data.pictures import Picture
from tinsmith.spec import Vision
from tinsmith.train import scratch, tensors
from tinsmith.train.eyes import Sight
from tinsmith.train.options import ScratchOptions
from tinsmith.train.vocabulary import train_tokenizer
from tinsmith.train.whitening import FAINT, first_layer
from tinsmith.vision.idefics3 import connector

SIZES = ScratchOptions(picture=32, patch=8, merge=2, tower_layers=1, tower_hidden=32)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> list[Picture]:
    """Red and bluish pages as light as may be, with faint stripes across or down."""
    folder, found, rng = tmp_path_factory.mktemp("shown"), [], random.Random(1)
    for number in range(24):
        stripes = 8 * np.sin(np.arange(32) * 1.5 + rng.uniform(0, 6))
        page = np.full((32, 32, 3), rng.uniform(20, 200)) + rng.choice((stripes, stripes[:, None]))[..., None]
        page += np.array((30, 0, 0) if number % 2 else (0, 10, 30))
        Image.fromarray(page.astype(np.uint8)).save(folder / f"{number}.png")
        found.append(Picture(str(folder / f"{number}.png")))
    return found


@pytest.fixture(scope="module")
def vision(shown: list[Picture]) -> Vision:
    tokenizer = train_tokenizer(["where?"], 288, tuple(connector.token_texts.values()))
    return scratch.start_vision(SIZES, 64, tokenizer, 0, shown)


def rows(vision: Vision, shown: list[Picture], bias: bool = True) -> Tensor:
    held = {
        role: torch.from_numpy(tensors.to_float32(vision.tensors[role])) for role in ("patch", "patch_bias")
    }
    found: Tensor = Sight(vision).patches(shown).flatten(0, 1) @ held["patch"].T
    return found + held["patch_bias"] if bias else found


def test_rows_are_centred_and_no_component_outweighs_the_others(vision: Vision, shown: list[Picture]) -> None:
    found = rows(vision, shown)
    assert found.mean(0).abs().max() < 1e-3
    patches = Sight(vision).patches(shown).flatten(0, 1)
    variance = torch.linalg.eigvalsh(patches.T.cov(correction=0)).flip(0)
    assert variance[0] > 50 * variance[3] > 50 * FAINT**2  # light, and all else
    strong = torch.linalg.eigvalsh(found.T.cov(correction=0)).flip(0)
    assert strong[0] < 5 * strong[3]


def test_it_is_whitening_as_torch_has_it(vision: Vision, shown: list[Picture]) -> None:
    """The weights are drawn ones times V / sqrt(variance + FAINT²): what is left of them, for components that
    vary at all, has the deviation 1 / sqrt(components)."""
    patches = Sight(vision).patches(shown).flatten(0, 1).double()
    variance, components = torch.linalg.eigh(patches.T.cov(correction=0))
    weights = torch.from_numpy(tensors.to_float32(vision.tensors["patch"])).double()
    varies = variance > FAINT**2
    assert 4 <= varies.sum() <= 32
    drawn = weights @ components[:, varies] * (variance[varies] + FAINT**2).sqrt()
    assert drawn.std().item() == pytest.approx(32**-0.5, rel=0.15)
    assert drawn.std(0).max() < 1.6 * drawn.std(0).min()


def test_the_seed_decides_the_rest(vision: Vision, shown: list[Picture]) -> None:
    one, same, other = (first_layer(vision, shown, seed) for seed in (1, 1, 2))
    assert one == same != other and one.keys() == {"patch", "patch_bias"}


def test_more_rows_than_pixels_are_possible(vision: Vision, shown: list[Picture], tmp_path: Path) -> None:
    wide = ScratchOptions(picture=32, patch=4, merge=2, tower_layers=1, tower_hidden=64)
    tokenizer = train_tokenizer(["where?"], 288, tuple(connector.token_texts.values()))
    made = scratch.start_vision(wide, 64, tokenizer, 0, shown)
    assert made.tensors["patch"].rows == 64 and made.tensors["patch"].inputs == 48
    assert torch.isfinite(rows(made, shown)).all()
