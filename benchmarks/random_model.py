"""Writes a model of a known shape with random weights, to measure speed where no real file is at hand.

    python benchmarks/random_model.py qwen3-0.6b q4_0 OUT.gguf

The llama family's layers in the other model's sizes: what a layer adds beyond them (Qwen3 normalizes each head)
is little beside the matrices. Weights are drawn as blocks, with scales that keep activations near 1.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from tinsmith import models
from tinsmith.compiler.tokenizer import ALPHABET
from tinsmith.formats.weights import weight_format
from tinsmith.models import Spec, Tensor, Tokenizer, family
from tinsmith.models.spec import Hyper

SHAPES = {
    "smollm2-135m": Hyper(30, 576, 1536, 9, 3, 64, 49152, 8192, 1e-5, 1e5, 64, True),
    "qwen2.5-0.5b": Hyper(24, 896, 4864, 14, 2, 64, 151936, 32768, 1e-6, 1e6, 64, True),
    "qwen3-0.6b": Hyper(28, 1024, 3072, 16, 8, 128, 151936, 40960, 1e-6, 1e6, 128, True),
}
# By format: what its quantized values spread around 0, of scale 1.
SPREAD = {"Q4_0": 4.6, "Q8_0": 74.0}


def drawn(name: str, rows: int, inputs: int, rng: np.random.Generator) -> Tensor:
    """rows == 1: a norm's weight, of ones."""
    if rows == 1:
        return Tensor("F32", 1, inputs, np.ones(inputs, np.float32).tobytes())
    kind = weight_format(name)
    blocks = rng.integers(0, 256, (rows * inputs // kind.block, kind.bytes), np.uint8)
    blocks[:, :2] = np.array([1 / (SPREAD[name] * inputs**0.5)], np.float16).view(np.uint8)
    return Tensor(name, rows, inputs, blocks.tobytes())


def padded_tokenizer(vocab: int) -> Tokenizer:
    """Every byte, and names that no text has."""
    added = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokens = added + ALPHABET
    unused = [f"[PAD{k}]" for k in range(len(tokens), vocab)]
    types = ["control"] * len(added) + ["normal"] * len(ALPHABET) + ["unused"] * len(unused)
    return Tokenizer(tokens + unused, types, [], "smollm", 1, 2, 0, 2, add_bos=False, end_tokens=(2,))


def random_spec(shape: Hyper, name: str) -> Spec:
    llama = family.by_name("llama")
    rng = np.random.default_rng(1)
    tensors = {place.role: drawn(name, place.rows, place.inputs, rng) for place in llama.tensors(shape)}
    tokenizer = padded_tokenizer(shape.vocab)
    return Spec("llama", shape, tensors, tokenizer, None, {"name": "random"})


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("format", choices=[name.lower() for name in SPREAD])
    parser.add_argument("out")
    args = parser.parse_args()
    models.save_gguf(random_spec(SHAPES[args.shape], args.format.upper()), args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
