"""The llama family: RMS norm, grouped attention with RoPE, gated SiLU feed-forward, no bias.

Llama 3.1 and later divide RoPE's slower frequencies; GGUF stores the divisors as the tensor
`rope_freqs.weight`. Mistral's dense models belong to this family."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.graph import GraphBuilder, Value
from tinsmith.models import decoder
from tinsmith.models.decoder import Key
from tinsmith.models.family import Family, Fields, TensorName
from tinsmith.spec import Hyper, Tensor

_FACTORS = "rope_freqs.weight"
_SCALING = (  # GGUF has the divisors that follow from these
    Key("rope_low", "low_freq_factor", "", "real"),
    Key("rope_high", "high_freq_factor", "", "real"),
    Key("rope_original", "original_max_position_embeddings", ""),
    Key("rope_factor", "factor", "", "real"),
)


@dataclass(frozen=True)
class LlamaHyper(Hyper):
    """Llama 3's RoPE, unless rope_factor is 1: frequencies that turn fewer than rope_low times in the first
    rope_original positions are divided by the factor. Those of more than rope_high turns stay; those between
    get a divisor between."""

    rope_factor: float = 1.0
    rope_low: float = 1.0
    rope_high: float = 4.0
    rope_original: int = 8192


class Llama(Family):
    name = "llama"
    hf_architectures = ("LlamaForCausalLM", "MistralForCausalLM")
    text_models: ClassVar[tuple[str, ...]] = ("llama", "mistral")
    hyper = LlamaHyper
    defaults = {"max_position_embeddings": 2048}
    only = {**Family.only, "mlp_bias": (False,), "sliding_window": (None,)}

    def rope_from_hf(self, config: Mapping[str, Any]) -> Fields:
        return Fields(decoder.rope_settings(config, "default", "llama3"), decoder.CONFIG)

    def more_from_hf(self, fields: Fields, rope: Fields) -> dict[str, Any]:
        if rope.values["rope_type"] == "default":
            return {}
        scaling = decoder.from_hf(rope, _SCALING)
        if scaling["rope_low"] >= scaling["rope_high"]:
            low = scaling["rope_low"]
            raise FormatError(f"{rope.where}: low_freq_factor is {low:g}; it must be below high_freq_factor")
        return scaling

    def more_to_hf(self, h: LlamaHyper) -> dict[str, Any]:
        if h.rope_factor == 1:
            return {}
        return {"rope_scaling": {"rope_type": "llama3", **decoder.to_hf(h, _SCALING)}}

    def more_from_gguf(self, fields: Fields, h: dict[str, Any]) -> dict[str, Any]:
        return _scaling_of(fields.values[_FACTORS], h) if _FACTORS in fields.values else {}

    def more_to_gguf(self, h: LlamaHyper) -> dict[str, Any]:
        return {"vocab_size": h.vocab, "rope.dimension_count": h.rope_dim}

    def tensors(self, h: LlamaHyper) -> list[TensorName]:
        own = [] if h.rope_factor == 1 else [TensorName("rope_freqs", "", _FACTORS, 1, h.rope_dim // 2)]
        return [*own, *super().tensors(h)]

    def derive(self, h: LlamaHyper) -> dict[str, Tensor]:
        return {} if h.rope_factor == 1 else {"rope_freqs": decoder.vector(divisors(h))}

    def rope_table(self, h: LlamaHyper, g: GraphBuilder) -> Value:
        return g.rope_table(decoder.frequencies(h.rope_base, h.rope_dim, divisors(h)))


def divisors(h: LlamaHyper) -> list[float]:
    """The divisor of each rotated pair's frequency."""
    values = []
    for frequency in decoder.frequencies(h.rope_base, h.rope_dim):
        turns = h.rope_original * frequency / (2 * math.pi)
        share = min(max((turns - h.rope_low) / (h.rope_high - h.rope_low), 0.0), 1.0)
        values.append(1 / ((1 - share) / h.rope_factor + share))
    return values


def _scaling_of(given: list[float], h: Mapping[str, Any]) -> dict[str, Any]:
    """Finds the settings that give a file's divisors. All Meta models have the default rope_low and rope_high,
    so only the factor and the original length are unknown."""
    for original in (8192, *(1 << k for k in range(9, 20))):
        settings: dict[str, Any] = {"rope_factor": max(given), "rope_original": original}
        expected = divisors(LlamaHyper(**h, **settings))
        same = zip(given, expected, strict=False)
        if len(given) == len(expected) and all(abs(a - b) <= 1e-5 * b for a, b in same):
            return settings
    raise UnsupportedError(f"{_FACTORS} has other divisors than Llama 3's, the only ones supported")


family = Llama()
