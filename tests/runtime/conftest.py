"""A tiny llama with a chat template, in memory, in any weight format."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
from tiny_models import tiny_spec

from tinsmith import _core
from tinsmith.compiler import build_image
from tinsmith.formats.weights import weight_format
from tinsmith.models import Spec, Tensor, family
from tinsmith.runtime import Model

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


# Formats that are read but not made: where a block's float16 values stand.
HALVES = {
    "Q5_0": (0,),
    "Q5_1": (0, 2),
    "Q4_K": (0, 2),
    "Q5_K": (0, 2),
    "Q6_K": (208,),
    "Q3_K": (108,),
    "Q2_K": (80, 82),
    "IQ4_NL": (0,),
}


def in_format(spec: Spec, name: str) -> Spec:
    """The spec with every matrix in one weight format."""

    def convert(role: str, tensor: Tensor) -> Tensor:
        if tensor.rows == 1 or tensor.format == name:
            return tensor
        if name in HALVES:
            return drawn(role, tensor, name)
        data = _core.quantize(name, tensor.data, tensor.rows, tensor.inputs)
        return Tensor(name, tensor.rows, tensor.inputs, data)

    return replace(spec, tensors={role: convert(role, tensor) for role, tensor in spec.tensors.items()})


def drawn(role: str, tensor: Tensor, name: str) -> Tensor:
    """Any bits, but for scales that make weights of some 0.05."""
    kind = weight_format(name)
    source = random.Random(role + name)
    data = bytearray(source.randbytes(tensor.rows * tensor.inputs // kind.block * kind.bytes))

    def set_scales(scale: float) -> None:
        for at in range(0, len(data), kind.bytes):
            for place in HALVES[name]:
                struct.pack_into("<e", data, at + place, scale)

    set_scales(1.0)
    size = memoryview(_core.dequantize(name, data, tensor.rows, tensor.inputs)).cast("f")
    set_scales(0.05 / (sum(x * x for x in size) / len(size)) ** 0.5)
    return Tensor(name, tensor.rows, tensor.inputs, bytes(data))


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
