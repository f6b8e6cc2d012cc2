"""The falcon_h1 family: its multipliers go into the weights, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.models.tiny_models import config_of
from tests.models.transformers_models import from_folder, logits_of, save_random, some_tokens
from tinsmith import _core, models
from tinsmith.compiler import build_image
from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.models.falcon_h1 import family
from tinsmith.runtime import Model

np = pytest.importorskip("numpy")

MULTIPLIERS: dict[str, Any] = {
    "attention_in_multiplier": 0.7,
    "attention_out_multiplier": 0.9375,
    "embedding_multiplier": 5.656854249492381,
    "key_multiplier": 0.39,
    "lm_head_multiplier": 0.0390625,
    "mlp_multipliers": [0.8838834764831844, 0.5859375],
    "ssm_in_multiplier": 1.25,
    "ssm_multipliers": [0.3535533905932738, 0.25, 0.17, 0.5, 0.3535533905932738],
    "ssm_out_multiplier": 0.23570226039551587,
}


@pytest.mark.parametrize("tied", [False, True])
def test_multipliers_are_folded_into_the_weights(tied: bool, tmp_path: Path) -> None:
    """Each of them counts, in all that is made of the folder."""
    theirs = save_random("falcon_h1", tmp_path / "folder", tie_word_embeddings=tied, **MULTIPLIERS)
    spec = models.load(tmp_path / "folder")
    assert not spec.hyper.tied and "multipliers are folded into the weights" in spec.notes[0]
    tokens = some_tokens(266, 60)
    expected = logits_of(theirs, tokens)
    models.save_hf(spec, tmp_path / "again")
    again = logits_of(from_folder(tmp_path / "again"), tokens)
    assert np.abs(again - expected).max() <= 1e-4 * np.ptp(expected)
    assert models.load(tmp_path / "again").notes == ()
    models.save_gguf(spec, tmp_path / "a.gguf")
    image = build_image(models.load(tmp_path / "a.gguf"))
    got = np.asarray(Model(_core.Model(image), image, threads=1).logits(tokens))
    assert np.abs(got - expected).max() <= 1e-3 * np.ptp(expected)


@pytest.mark.parametrize("key", MULTIPLIERS)
def test_each_multiplier_changes_the_weights(key: str, tmp_path: Path) -> None:
    """In transformers and here alike."""
    theirs = save_random("falcon_h1", tmp_path, **{key: MULTIPLIERS[key]})
    tokens = some_tokens(266, 20)
    expected, plain = logits_of(theirs, tokens), logits_of(save_random("falcon_h1", tmp_path / "plain"), tokens)
    image = build_image(models.load(tmp_path))
    got = np.asarray(Model(_core.Model(image), image, threads=1).logits(tokens))
    assert np.abs(got - expected).max() <= 1e-3 * np.ptp(expected)
    assert np.abs(plain - expected).max() > 0.01 * np.ptp(expected)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"mamba_rms_norm": True}, UnsupportedError, "mamba_rms_norm"),
        ({"projectors_bias": True}, UnsupportedError, "projectors_bias"),
        ({"attention_bias": True}, UnsupportedError, "attention_bias"),
        ({"mamba_n_groups": 4}, UnsupportedError, "6 Mamba-2 heads are not 4 even groups"),
        ({"time_step_limit": [0.001, 0.1]}, UnsupportedError, "time_step_limit"),
        ({"mamba_d_ssm": 100}, FormatError, "mamba_n_heads 6 times mamba_d_head 16 is not mamba_d_ssm.*100"),
    ],
)
def test_unsupported_features_are_named(change: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        family.hyper_from_hf(config_of(family) | change)


@pytest.mark.parametrize("bad", [[1.0], "x", [1.0, None], True, {}])
def test_wrong_multipliers_are_named(bad: Any) -> None:
    with pytest.raises(FormatError, match="mlp_multipliers is .*must be 2 numbers"):
        family.stand_in(config_of(family) | {"mlp_multipliers": bad})
