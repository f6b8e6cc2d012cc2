"""A tiny llama with a chat template, in memory, in any weight format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
from tiny_models import tiny_spec

from tinsmith import _core
from tinsmith.compiler import build_image
from tinsmith.models import Spec, Tensor, family
from tinsmith.runtime import Model

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def in_format(spec: Spec, name: str) -> Spec:
    """The spec with every matrix in one weight format."""

    def convert(tensor: Tensor) -> Tensor:
        if tensor.rows == 1 or tensor.format == name:
            return tensor
        data = _core.quantize(name, tensor.data, tensor.rows, tensor.inputs)
        return Tensor(name, tensor.rows, tensor.inputs, data)

    return replace(spec, tensors={role: convert(tensor) for role, tensor in spec.tensors.items()})


@pytest.fixture(scope="session")
def spec() -> Spec:
    sizes = {"hidden_size": 64, "intermediate_size": 96, "max_position_embeddings": 512}
    return replace(tiny_spec(family.by_name("llama"), **sizes), chat_template=CHATML)


@pytest.fixture(scope="session")
def image(spec: Spec) -> Callable[[str], memoryview]:
    return cache(lambda name: build_image(in_format(spec, name)))


@pytest.fixture
def model(image: Callable[[str], memoryview]) -> Model:
    loaded = image("Q8_0")
    return Model(_core.Model(loaded), loaded, threads=2)
