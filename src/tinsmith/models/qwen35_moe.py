"""The qwen35_moe family: Qwen3.5 with a mixture of experts and a shared expert as the feed-forward of every
layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tinsmith.graph import GraphBuilder, Value
from tinsmith.models import decoder, experts
from tinsmith.models.experts import Mixture
from tinsmith.models.family import Fields, TensorName
from tinsmith.models.qwen35 import Qwen35, Qwen35Hyper
from tinsmith.spec import Hyper

_SHARED = "shared_expert_intermediate_size"


@dataclass(frozen=True)
class Qwen35MoeHyper(Qwen35Hyper):
    """chosen: experts per token. expert_dim: inner width of an expert; ffn_dim: that of the shared expert."""

    experts: int
    chosen: int
    expert_dim: int


class Qwen35Moe(Mixture, Qwen35):
    name = "qwen35_moe"
    model_type = "qwen3_5_moe_text"
    hf_architectures = ("Qwen3_5MoeForCausalLM", "Qwen3_5MoeForConditionalGeneration")
    gguf_architecture = "qwen35moe"
    hyper = Qwen35MoeHyper
    keys = (*Qwen35.keys, *experts.KEYS)
    defaults = {
        **Qwen35.defaults,
        "moe_intermediate_size": 512,
        "num_experts": 256,
        "num_experts_per_tok": 8,
        "num_key_value_heads": 2,
        _SHARED: 512,
    }

    def hyper_from_hf(self, config: Mapping[str, Any]) -> Hyper:
        shared = Fields({**self.defaults, **config}, "config.json").count(_SHARED)
        return super().hyper_from_hf({**config, "intermediate_size": shared})

    def hyper_to_hf(self, h: Hyper) -> dict[str, Any]:
        config = super().hyper_to_hf(h)
        return config | {_SHARED: config.pop("intermediate_size")}

    def hyper_from_gguf(self, meta: Mapping[str, Any], *, tied: bool) -> Hyper:
        # Files may omit feed_forward_length, the width of layers without experts: there are none.
        shared = {"qwen35moe.feed_forward_length": meta.get("qwen35moe.expert_shared_feed_forward_length")}
        return super().hyper_from_gguf({**meta, **shared}, tied=tied)

    def more_to_gguf(self, h: Qwen35MoeHyper) -> dict[str, Any]:
        routed = decoder.to_gguf(h, experts.KEYS)
        return super().more_to_gguf(h) | routed | {"expert_shared_feed_forward_length": h.ffn_dim}

    def feed_forward(self, h: Qwen35MoeHyper, i: int) -> list[TensorName]:
        routed = experts.routed_tensors(h.dim, h.expert_dim, h.experts)
        return [*routed, *experts.shared_tensors(h.dim, h.ffn_dim)]

    def feed(self, h: Qwen35MoeHyper, g: GraphBuilder, layer: str, x: Value) -> Value:
        y = g.norm(x, f"{layer}.ffn_norm", h.norm_eps)
        x = experts.routed(g, layer, y, x, experts=h.experts, chosen=h.chosen)
        return experts.shared(g, layer, y, x)


family = Qwen35Moe()
