"""The qwen3_moe family: Qwen3 with a mixture of experts as the feed-forward of every layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tinsmith.errors import UnsupportedError
from tinsmith.graph import GraphBuilder, Value
from tinsmith.models import experts
from tinsmith.models.experts import Mixture
from tinsmith.models.family import Fields, TensorName
from tinsmith.models.qwen3 import Qwen3
from tinsmith.spec import Hyper


@dataclass(frozen=True)
class MoeHyper(Hyper):
    """chosen: experts per token. expert_dim: inner width of an expert. normalize: the weights of the chosen
    experts add up to 1. ffn_dim is unused: every layer has experts."""

    experts: int
    chosen: int
    expert_dim: int
    normalize: bool


class Qwen3Moe(Mixture, Qwen3):
    name = "qwen3_moe"
    hf_architectures = ("Qwen3MoeForCausalLM",)
    gguf_architecture = "qwen3moe"
    hyper = MoeHyper
    defaults = {
        "intermediate_size": 6144,
        "max_position_embeddings": 32768,
        "moe_intermediate_size": 768,
        "norm_topk_prob": False,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "num_key_value_heads": 4,
    }
    only = {**Qwen3.only, "decoder_sparse_step": (1,), "mlp_only_layers": ([],)}

    def more_from_hf(self, fields: Fields, rope: Fields) -> dict[str, Any]:
        return {"normalize": bool(fields.get("norm_topk_prob"))}

    def more_to_hf(self, h: MoeHyper) -> dict[str, Any]:
        return {"norm_topk_prob": h.normalize}

    def more_from_gguf(self, fields: Fields, h: dict[str, Any]) -> dict[str, Any]:
        return {"normalize": True}

    def more_to_gguf(self, h: MoeHyper) -> dict[str, Any]:
        if not h.normalize:
            raise UnsupportedError("norm_topk_prob is false; a qwen3moe's expert weights add up to 1 in GGUF")
        return {}

    def feed_forward(self, h: MoeHyper, i: int) -> list[TensorName]:
        return experts.routed_tensors(h.dim, h.expert_dim, h.experts)

    def feed(self, h: MoeHyper, g: GraphBuilder, layer: str, x: Value) -> Value:
        y = g.norm(x, f"{layer}.ffn_norm", h.norm_eps)
        return experts.routed(g, layer, y, x, experts=h.experts, chosen=h.chosen, normalize=h.normalize)


family = Qwen3Moe()
