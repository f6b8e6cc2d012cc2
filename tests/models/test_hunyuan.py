"""The hunyuan family: the base of its rotation, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.models.tiny_models import config_of
from tests.models.transformers_models import IDS
from tinsmith.errors import FormatError, TinsmithError, UnsupportedError
from tinsmith.models import decoder
from tinsmith.models.hunyuan import family


def test_alpha_is_folded_into_the_base() -> None:
    modeling = pytest.importorskip("transformers.models.hunyuan_v1_dense.modeling_hunyuan_v1_dense")
    settings = config_of(family) | IDS
    settings.pop("architectures")
    theirs = modeling.HunYuanDenseV1RotaryEmbedding(modeling.HunYuanDenseV1Config(**settings)).inv_freq
    h = family.hyper_from_hf(config_of(family))
    assert h.rope_base > 1e7
    assert decoder.frequencies(h.rope_base, h.rope_dim) == pytest.approx(theirs.tolist(), rel=1e-5)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, UnsupportedError, "without alpha"),
        ({"rope_scaling": {"rope_type": "dynamic", "alpha": "x"}}, FormatError, "alpha"),
        ({"rope_scaling": {"rope_type": "dynamic", "alpha": 1e300}}, FormatError, "alpha 1e\\+300"),
        ({"rope_scaling": {"rope_type": "dynamic", "alpha": 9.0}, "head_dim": 2}, FormatError, "heads of 2"),
        ({"rope_scaling": {"rope_type": "yarn"}}, UnsupportedError, "yarn"),
        ({"attention_bias": True}, UnsupportedError, "attention_bias"),
    ],
)
def test_unsupported_features_are_named(
    change: dict[str, Any], error: type[TinsmithError], message: str
) -> None:
    with pytest.raises(error, match=message):
        family.hyper_from_hf(config_of(family) | change)
