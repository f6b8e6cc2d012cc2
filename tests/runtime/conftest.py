"""Tiny llamas in memory: with a chat template, in any weight format; with wide heads, and with windows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

from tests.models.tiny_models import in_format, tiny_spec
from tests.models.transformers_models import CHATML
from tinsmith import _core, graph, quant
from tinsmith.compiler import build_image
from tinsmith.formats.weights import weight_format
from tinsmith.models import Spec, family
from tinsmith.runtime import Model


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


@pytest.fixture(scope="module")
def wide_heads(spec: Spec) -> Spec:
    """A tiny model whose heads are of 32, as caches of 8-bit integers need them."""
    sizes = {"hidden_size": 64, "intermediate_size": 96, "max_position_embeddings": 512, "head_dim": 32}
    return quant.apply(tiny_spec(family.by_name("llama"), **sizes), "Q4_0")


@pytest.fixture(scope="module")
def core(wide_heads: Spec) -> _core.Model:
    return _core.Model(build_image(wide_heads))


@pytest.fixture(scope="module")
def windowed(wide_heads: Spec) -> _core.Model:
    """The tiny model with windows of 40 and 100 positions in turn, which no family of this version has."""
    plain = graph.GraphBuilder.cache

    def cache(self: graph.GraphBuilder, heads: int, head_dim: int, window: int = 0) -> int:
        return plain(self, heads, head_dim, (40, 100)[len(self.graph.caches) % 2])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph.GraphBuilder, "cache", cache)
        return _core.Model(build_image(wide_heads))
