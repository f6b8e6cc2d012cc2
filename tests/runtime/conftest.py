"""A tiny llama with a chat template, in memory, in any weight format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
from tiny_models import in_format, tiny_spec

from tinsmith import _core
from tinsmith.compiler import build_image
from tinsmith.formats.weights import weight_format
from tinsmith.models import Spec, family
from tinsmith.runtime import Model

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def made_spec(**sizes: int) -> Spec:
    return replace(
        tiny_spec(family.by_name("llama"), max_position_embeddings=512, **sizes), chat_template=CHATML
    )


@pytest.fixture(scope="session")
def spec() -> Spec:
    return made_spec(hidden_size=64, intermediate_size=96)


@pytest.fixture(scope="session")
def wide_spec() -> Spec:
    """Every matrix has whole super-blocks of 256 inputs; rows of the vocabulary end within a tile."""
    return made_spec(hidden_size=256, intermediate_size=256, num_attention_heads=16, num_hidden_layers=1)


@pytest.fixture(scope="session")
def image(spec: Spec, wide_spec: Spec) -> Callable[[str], memoryview]:
    def built(name: str) -> memoryview:
        return build_image(in_format(wide_spec if weight_format(name).block > 32 else spec, name))

    return cache(built)


@pytest.fixture
def model(image: Callable[[str], memoryview]) -> Model:
    loaded = image("Q8_0")
    return Model(_core.Model(loaded), loaded, threads=2)
