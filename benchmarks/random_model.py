"""Writes a model of a known shape with random weights, to measure speed where no real file is at hand.

    python benchmarks/random_model.py qwen3-0.6b q4_0 OUT.gguf [--vocabulary FILE.gguf]

Weights are drawn as blocks, with scales that keep activations near 1. A text's tokens are its bytes, unless a
GGUF file gives its vocabulary; it need hold no tensors (llama.cpp's sources have models/ggml-vocab-*.gguf).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import Any

import numpy as np

from tinsmith import models
from tinsmith.formats import gguf
from tinsmith.formats.weights import weight_format
from tinsmith.models import Spec, Tensor, Tokenizer, family, gguf_spec
from tinsmith.tokenizer.packed import ALPHABET

# By name: a family, and what its config.json says.
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "smollm2-135m": (
        "llama",
        {
            "hidden_size": 576,
            "intermediate_size": 1536,
            "max_position_embeddings": 8192,
            "num_attention_heads": 9,
            "num_hidden_layers": 30,
            "num_key_value_heads": 3,
            "rope_theta": 1e5,
            "vocab_size": 49152,
        },
    ),
    "qwen2.5-0.5b": (
        "qwen2",
        {
            "hidden_size": 896,
            "intermediate_size": 4864,
            "max_position_embeddings": 32768,
            "num_attention_heads": 14,
            "num_hidden_layers": 24,
            "num_key_value_heads": 2,
            "rope_theta": 1e6,
            "vocab_size": 151936,
        },
    ),
    "qwen3-0.6b": (
        "qwen3",
        {
            "head_dim": 128,
            "hidden_size": 1024,
            "intermediate_size": 3072,
            "max_position_embeddings": 40960,
            "num_attention_heads": 16,
            "num_hidden_layers": 28,
            "num_key_value_heads": 8,
            "rope_theta": 1e6,
            "vocab_size": 151936,
        },
    ),
    "qwen3.5-0.8b": (
        "qwen35",
        {
            "full_attention_interval": 4,
            "head_dim": 256,
            "hidden_size": 1024,
            "intermediate_size": 3584,
            "linear_conv_kernel_dim": 4,
            "linear_key_head_dim": 128,
            "linear_num_key_heads": 16,
            "linear_num_value_heads": 16,
            "linear_value_head_dim": 128,
            "max_position_embeddings": 262144,
            "num_attention_heads": 8,
            "num_hidden_layers": 24,
            "num_key_value_heads": 2,
            "rope_parameters": {
                "mrope_interleaved": True,
                "mrope_section": [11, 11, 10],
                "partial_rotary_factor": 0.25,
                "rope_theta": 1e7,
                "rope_type": "default",
            },
            "vocab_size": 248320,
        },
    ),
    "qwen3.5-9b": (
        "qwen35",
        {
            "full_attention_interval": 4,
            "head_dim": 256,
            "hidden_size": 4096,
            "intermediate_size": 12288,
            "linear_conv_kernel_dim": 4,
            "linear_key_head_dim": 128,
            "linear_num_key_heads": 16,
            "linear_num_value_heads": 32,
            "linear_value_head_dim": 128,
            "max_position_embeddings": 262144,
            "num_attention_heads": 16,
            "num_hidden_layers": 32,
            "num_key_value_heads": 4,
            "rope_parameters": {
                "mrope_interleaved": True,
                "mrope_section": [11, 11, 10],
                "partial_rotary_factor": 0.25,
                "rope_theta": 1e7,
                "rope_type": "default",
            },
            "tie_word_embeddings": False,
            "vocab_size": 248320,
        },
    ),
    "gemma3-270m": (
        "gemma3",
        {
            "head_dim": 256,
            "hidden_size": 640,
            "intermediate_size": 2048,
            "max_position_embeddings": 32768,
            "num_attention_heads": 4,
            "num_hidden_layers": 18,
            "num_key_value_heads": 1,
            "query_pre_attn_scalar": 256,
            "sliding_window": 512,
            "vocab_size": 262144,
        },
    ),
}
# By format: what its quantized values spread around 0, of scale 1.
SPREAD = {"Q4_0": 4.6, "Q8_0": 74.0}


def drawn(name: str, role: str, rows: int, inputs: int, rng: np.random.Generator) -> Tensor:
    if rows == 1:
        # A norm's weight, but for biases and the rate by which a state decays.
        value = 0.0 if role.endswith("bias") else -1.0 if role.endswith(".rate") else 1.0
        return Tensor("F32", 1, inputs, np.full(inputs, value, np.float32).tobytes())
    if inputs < 32:  # a convolution's taps
        return Tensor(
            "F32", rows, inputs, rng.normal(0, inputs**-0.5, rows * inputs).astype(np.float32).tobytes()
        )
    kind = weight_format(name)
    blocks = rng.integers(0, 256, (rows * inputs // kind.block, kind.bytes), np.uint8)
    blocks[:, :2] = np.array([1 / (SPREAD[name] * inputs**0.5)], np.float16).view(np.uint8)
    return Tensor(name, rows, inputs, blocks.tobytes())


def padded(tokenizer: Tokenizer, vocab: int) -> Tokenizer:
    """With names that no text has."""
    unused = [f"[PAD{k}]" for k in range(len(tokenizer.tokens), vocab)]
    return replace(
        tokenizer, tokens=tokenizer.tokens + unused, types=tokenizer.types + ["unused"] * len(unused)
    )


def padded_tokenizer(vocab: int) -> Tokenizer:
    """Every byte, and names that no text has."""
    added = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    types = ["control"] * len(added) + ["normal"] * len(ALPHABET)
    own = Tokenizer(added + ALPHABET, types, [], "smollm", 1, 2, 0, 2, add_bos=False, end_tokens=(2,))
    return padded(own, vocab)


def random_spec(
    shape: str, name: str, layers: int | None = None, *, words: Tokenizer | None = None, mtp: bool = False
) -> Spec:
    """layers: so many instead of the shape's. words: a vocabulary instead of bytes. mtp: with a layer that
    predicts a further token."""
    kind, config = SHAPES[shape]
    if mtp:
        config = {**config, "mtp_num_hidden_layers": 1}
    if layers is not None:
        config = {**config, "num_hidden_layers": layers}
    model = family.by_name(kind)
    hyper = model.hyper_from_hf({"rms_norm_eps": 1e-6, "tie_word_embeddings": True, **config})
    rng = np.random.default_rng(1)
    tensors = {
        place.role: drawn(name, place.role, place.all_rows, place.inputs, rng) for place in model.tensors(hyper)
    }
    tokenizer = padded(words, hyper.vocab) if words else padded_tokenizer(hyper.vocab)
    return Spec(kind, hyper, tensors | model.derive(hyper), tokenizer, None, {"name": "random"})


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("format", choices=[name.lower() for name in SPREAD])
    parser.add_argument("out")
    parser.add_argument("--vocabulary", help="a GGUF file, of which only the tokenizer is taken")
    parser.add_argument("--mtp", action="store_true", help="with a layer that predicts a further token")
    args = parser.parse_args()
    words = gguf_spec.read_words(gguf.read(args.vocabulary))[0] if args.vocabulary else None
    models.save_gguf(random_spec(args.shape, args.format.upper(), words=words, mtp=args.mtp), args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
