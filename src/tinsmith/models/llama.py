"""The llama family: RMS norm, grouped attention with rotary positions, gated SiLU feed-forward, no bias.

Llama 3.1 and later divide the slower frequencies of the rotation; GGUF keeps what they are divided by as the
tensor `rope_freqs.weight`. Mistral's dense models are of this family too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.graph import GraphBuilder
from tinsmith.models import decoder
from tinsmith.models.family import Fields, TensorName
from tinsmith.spec import Hyper, Tensor

_FACTORS = "rope_freqs.weight"


@dataclass(frozen=True)
class LlamaHyper(Hyper):
    """Llama 3's rotation, where rope_factor is not 1: frequencies that turn fewer than rope_low times in the
    first rope_original positions are divided by the factor, those that turn more than rope_high times are
    not, and those between are divided by something between."""

    rope_factor: float = 1.0
    rope_low: float = 1.0
    rope_high: float = 4.0
    rope_original: int = 8192


class Llama(decoder.Decoder):
    name = "llama"
    model_type = "llama"
    hf_architectures = ("LlamaForCausalLM", "MistralForCausalLM")
    gguf_architecture = "llama"
    text_models: ClassVar[tuple[str, ...]] = ("llama", "mistral")
    hyper = LlamaHyper
    defaults = {"max_position_embeddings": 2048}
    only = {
        "hidden_act": ("silu", "swish"),
        "attention_bias": (False,),
        "mlp_bias": (False,),
        "sliding_window": (None,),
    }

    def rope_from_hf(self, config: Mapping[str, Any]) -> Fields:
        return Fields(decoder.rope_settings(config, "default", "llama3"), decoder.CONFIG)

    def more_from_hf(self, fields: Fields, rope: Fields) -> dict[str, Any]:
        if rope.values["rope_type"] == "default":
            return {}
        low, high = rope.real("low_freq_factor"), rope.real("high_freq_factor")
        if low >= high:
            raise FormatError(f"{rope.where}: low_freq_factor is {low:g}; it must be below high_freq_factor")
        original = rope.count("original_max_position_embeddings")
        return {
            "rope_factor": rope.real("factor"),
            "rope_low": low,
            "rope_high": high,
            "rope_original": original,
        }

    def more_to_hf(self, h: LlamaHyper) -> dict[str, Any]:
        if h.rope_factor == 1:
            return {}
        return {
            "rope_scaling": {
                "rope_type": "llama3",
                "factor": h.rope_factor,
                "low_freq_factor": h.rope_low,
                "high_freq_factor": h.rope_high,
                "original_max_position_embeddings": h.rope_original,
            }
        }

    def more_from_gguf(self, fields: Fields, h: dict[str, Any]) -> dict[str, Any]:
        return _scaling_of(fields.values[_FACTORS], h) if _FACTORS in fields.values else {}

    def more_to_gguf(self, h: LlamaHyper) -> dict[str, Any]:
        return {"vocab_size": h.vocab, "rope.dimension_count": h.rope_dim}

    def layer(self, h: Hyper) -> list[TensorName]:
        return [*decoder.two_norms(h), *decoder.attention(h, permuted=True), *decoder.feed_forward(h)]

    def tensors(self, h: LlamaHyper) -> list[TensorName]:
        own = [] if h.rope_factor == 1 else [TensorName("rope_freqs", "", _FACTORS, 1, h.rope_dim // 2)]
        return [*own, *super().tensors(h)]

    def derive(self, h: LlamaHyper) -> dict[str, Tensor]:
        return {} if h.rope_factor == 1 else {"rope_freqs": decoder.vector(divisors(h))}

    def graph(self, h: LlamaHyper, g: GraphBuilder) -> None:
        x = g.embed("embed")
        table = g.rope_table(decoder.frequencies(h.rope_base, h.rope_dim, divisors(h)))
        for i in range(h.layers):
            layer = f"layers.{i}"
            y = g.norm(x, f"{layer}.attn_norm", h.norm_eps)
            q, k, v = g.matmuls(y, f"{layer}.q", f"{layer}.k", f"{layer}.v")
            x = g.matmul(decoder.attend(h, g, q, k, v, table), f"{layer}.o", residual=x)
            x = decoder.feed(h, g, layer, x)
        g.logits(g.norm(x, "final_norm", h.norm_eps), h.head)


def divisors(h: LlamaHyper) -> list[float]:
    """What divides the frequency of each rotated pair."""
    values = []
    for frequency in decoder.frequencies(h.rope_base, h.rope_dim):
        turns = h.rope_original * frequency / (2 * math.pi)
        share = min(max((turns - h.rope_low) / (h.rope_high - h.rope_low), 0.0), 1.0)
        values.append(1 / ((1 - share) / h.rope_factor + share))
    return values


def _scaling_of(given: list[float], h: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that gave a file its divisors. All of Meta's models have the usual bounds, so that the
    factor and the original length are what there is to find."""
    for original in (8192, *(1 << k for k in range(9, 20))):
        settings: dict[str, Any] = {"rope_factor": max(given), "rope_original": original}
        expected = divisors(LlamaHyper(**h, **settings))
        same = zip(given, expected, strict=False)
        if len(given) == len(expected) and all(abs(a - b) <= 1e-5 * b for a, b in same):
            return settings
    raise UnsupportedError(
        f"{_FACTORS} does not hold the divisors of Llama 3's rotation, the only ones supported"
    )


family = Llama()
