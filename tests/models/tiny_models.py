"""Tiny models of each family: their configs are <family>.json and <family>-<what is special>.json here, their
weights and tokenizer are made.

A test that takes the fixture or parameter `case` is run for every config there is, so for every family.
"""

from __future__ import annotations

import ctypes
import json
import random
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from tinsmith import _core
from tinsmith.formats.weights import weight_format
from tinsmith.models import Spec, Tensor, Tokenizer
from tinsmith.models.family import Family, TensorName, by_hf_architecture
from tinsmith.spec import EncoderSizes, ProjectorSizes, Vision
from tinsmith.vision.image_rules import Tiles
from tinsmith.vision.parts import tensors_of

FOLDER = Path(__file__).parent


def byte_alphabet() -> list[str]:
    """The printable character that byte-level BPE writes for each byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    characters = {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}
    return [characters[byte] for byte in range(256)]


def tiny_tokenizer(vocab: int) -> Tokenizer:
    added = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool>"]
    types = ["control"] * 3 + ["user"]
    merges = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("i", "n")]
    tokens = added + byte_alphabet() + [left + right for left, right in merges]
    types += ["normal"] * (len(tokens) - len(types))
    unused = range(len(tokens), vocab)
    return Tokenizer(
        tokens=tokens + [f"[PAD{token}]" for token in unused],
        types=types + ["unused"] * len(unused),
        merges=merges,
        pre="smollm",
        bos=1,
        eos=2,
        unk=0,
        pad=2,
        add_bos=False,
        end_tokens=(0, 2),
    )


@cache
def cases() -> tuple[str, ...]:
    """The name of every tiny config."""
    return tuple(
        sorted(path.stem for path in FOLDER.glob("*.json") if "architectures" in json.loads(path.read_text()))
    )


def family_of(case: str) -> Family:
    return by_hf_architecture(config_of(case)["architectures"][0], case)


def config_of(case: Family | str) -> dict[str, Any]:
    name = case if isinstance(case, str) else case.name
    config: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return config


def tiny_spec(case: Family | str, **changes: Any) -> Spec:
    family = family_of(case) if isinstance(case, str) else case
    hyper = family.hyper_from_hf(config_of(case) | changes)
    tensors = family.derive(hyper)
    drawn = [name for name in family.tensors(hyper) if name.role not in tensors]
    rows = [max(name.experts, 1) * name.rows for name in drawn]
    sizes = tuple((count * name.inputs, _mean(name)) for count, name in zip(rows, drawn, strict=True))
    for name, count, data in zip(drawn, rows, _floats(family.name, sizes), strict=True):
        tensors[name.role] = Tensor("F32", count, name.inputs, data)
    general = {"name": "tiny", "license": "apache-2.0", "languages": ["en"]}
    return Spec(family.name, hyper, tensors, tiny_tokenizer(hyper.vocab), "{{ messages }}", general)


def with_controls(tokenizer: Tokenizer, words: Sequence[str]) -> Tokenizer:
    """With these control tokens from 150 on, in place of bytes that no text of ASCII needs."""
    tokens, types = list(tokenizer.tokens), list(tokenizer.types)
    for at, word in enumerate(words, 150):
        tokens[at], types[at] = word, "control"
    return replace(tokenizer, tokens=tokens, types=types)


def with_vision(spec: Spec) -> Spec:
    """With a random encoder and projector, which cut images into tiles of 32 pixels a side, 4 rows each."""
    words = {"image": "<image>", "around": "<fake_token_around_image>", "whole": "<global-img>"}
    ids = {word: 150 + k for k, word in enumerate(words)}
    rows = [f"<row_{k // 2 + 1}_col_{k % 2 + 1}>" for k in range(4)]
    sizes = EncoderSizes(2, 64, 96, 2, 8, 4, 1e-6, "gelu_tanh")
    rule = Tiles("lanczos", (0.5,) * 3, (0.5,) * 3, edge=32, longest=64, split=True)
    empty = Vision("siglip", sizes, "idefics3", ProjectorSizes(2, spec.hyper.dim), {}, ids, rule)
    names = tensors_of(empty)
    drawn = _floats("eyes", tuple((name.rows * name.inputs, _mean(name)) for name in names))
    tensors = {
        name.role: Tensor("F32", name.rows, name.inputs, data) for name, data in zip(names, drawn, strict=True)
    }
    tokenizer = with_controls(spec.tokenizer, (*words.values(), *rows))
    return replace(spec, tokenizer=tokenizer, vision=replace(empty, tensors=tensors))


def png_of(rgb: bytes, width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    lines = (b"\0" + rgb[row * width * 3 : (row + 1) * width * 3] for row in range(height))
    head = chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"".join(lines))) + chunk(b"IEND", b"")


def _mean(name: TensorName) -> float:
    if name.role.endswith(".rate"):  # what a state's decay is the exponential of
        return -1.0
    return 1.0 if name.rows == 1 and not name.role.endswith("bias") else 0.0


@lru_cache(maxsize=256)  # many tests ask for the same
def _floats(seed: str, sizes: tuple[tuple[int, float], ...]) -> list[bytes]:
    """For each count and mean as many random float32."""
    source = random.Random(seed)
    return [
        struct.pack(f"<{count}f", *(source.gauss(mean, 0.05) for _ in range(count))) for count, mean in sizes
    ]


# Where a block's float16 values stand, of formats that are tested with any bits.
HALVES = {
    "Q5_0": (0,),
    "Q5_1": (0, 2),
    "Q4_K": (0, 2),
    "Q5_K": (0, 2),
    "Q6_K": (208,),
    "Q3_K": (108,),
    "Q2_K": (80, 82),
    "IQ4_NL": (0,),
    "IQ4_XS": (0,),
    "TQ2_0": (64,),
    "TQ1_0": (52,),
    "IQ3_S": (0,),
    "IQ3_XXS": (0,),
    "IQ2_S": (0,),
    "IQ2_XS": (0,),
    "IQ2_XXS": (0,),
    "IQ3_NL": (0,),
}


def even_importance(sizes: Mapping[str, int]) -> Any:
    """llama.cpp's importance matrix with 1 for each input of these tensors: it refuses some formats without."""
    import llama_cpp as llama

    entries = [
        llama.llama_model_imatrix_data(name.encode(), (ctypes.c_float * inputs)(*[1.0] * inputs), inputs)
        for name, inputs in sizes.items()
    ]
    return (llama.llama_model_imatrix_data * (len(entries) + 1))(*entries)


def small(tensor: Tensor) -> bool:
    """What stays float32 in every mix of formats: a vector, a convolution's few taps a channel."""
    return tensor.rows == 1 or tensor.inputs < 32


def in_format(spec: Spec, name: str) -> Spec:
    """The spec with every matrix in one weight format."""

    def convert(role: str, tensor: Tensor) -> Tensor:
        if small(tensor) or tensor.format == name:
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
