"""Every family's native logits beside transformers' own, for random tiny models."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.models.tiny_models import cases
from tests.models.transformers_models import logits_of, save_random, some_tokens
from tinsmith import _core, models
from tinsmith.compiler import build_image
from tinsmith.models import Spec
from tinsmith.runtime import Model

np = pytest.importorskip("numpy")


def native(spec: Spec) -> Model:
    image = build_image(spec)
    return Model(_core.Model(image), image, threads=1)


@pytest.mark.proves("native")
@pytest.mark.parametrize("case", cases())
def test_logits_are_those_of_transformers(case: str, tmp_path: Path) -> None:
    theirs_model = save_random(case, tmp_path)
    model = native(models.load(tmp_path))
    tokens = some_tokens(model.info.vocab)
    theirs = logits_of(theirs_model, tokens)
    ours = model.logits(tokens)
    worst, reach = float(np.abs(np.asarray(ours) - theirs).max()), float(theirs.max() - theirs.min())
    print(f"{case}: worst {worst:.3g} of {reach:.3g}, {worst / reach:.2g}")
    assert worst <= 1e-3 * reach
    for chunk in (1, 7, 64):
        assert model.logits(tokens, chunk=chunk).tobytes() == ours.tobytes()
