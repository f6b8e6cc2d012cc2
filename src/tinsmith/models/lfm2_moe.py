"""The lfm2_moe family: lfm2 with a mixture of experts as the feed-forward of all but the first layers. Sigmoids
plus a bias choose the experts; the bias does not enter their weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.graph import GraphBuilder, Value
from tinsmith.models import decoder, experts
from tinsmith.models.experts import Mixture
from tinsmith.models.family import Fields, TensorName
from tinsmith.models.lfm2 import Lfm2, Lfm2Hyper

_SIGMOID = 2  # llama.cpp's number of this router function
_ADDED = 1e-6  # transformers adds it to the sum of the chosen experts' sigmoids


@dataclass(frozen=True)
class Lfm2MoeHyper(Lfm2Hyper):
    """dense: number of first layers without experts, of inner width ffn_dim. chosen: experts per token.
    expert_dim: inner width of an expert. normalize: the weights of the chosen experts add up to 1, before the
    scale."""

    dense: int
    experts: int
    chosen: int
    expert_dim: int
    normalize: bool
    scale: float


class Lfm2Moe(Mixture, Lfm2):
    name = "lfm2_moe"
    hf_architectures = ("Lfm2MoeForCausalLM",)
    gguf_architecture = "lfm2moe"
    text_models = ()
    hyper = Lfm2MoeHyper
    keys = (*Lfm2.keys, *experts.KEYS)
    defaults = {
        "conv_L_cache": 3,
        "intermediate_size": 7168,
        "max_position_embeddings": 128000,
        "moe_intermediate_size": 1792,
        "norm_eps": 1e-5,
        "norm_topk_prob": True,
        "num_dense_layers": 2,
        "num_experts": 32,
        "num_experts_per_tok": 4,
        "num_key_value_heads": 8,
        "tie_word_embeddings": True,
    }
    only = {**Lfm2.only, "use_expert_bias": (True,)}
    only_gguf = {
        **Lfm2.only_gguf,
        "expert_gating_func": (_SIGMOID,),
        "expert_weights_norm": (True,),
        "expert_weights_scale": (1.0,),
    }

    def more_from_hf(self, fields: Fields, rope: Fields) -> dict[str, Any]:
        return {
            **super().more_from_hf(fields, rope),
            "dense": fields.count_or_0("num_dense_layers"),
            "normalize": bool(fields.get("norm_topk_prob")),
            "scale": fields.real("routed_scaling_factor", 1.0),
        }

    def more_to_hf(self, h: Lfm2MoeHyper) -> dict[str, Any]:
        common = super().more_to_hf(h)
        del common["block_auto_adjust_ff_dim"]
        return {
            **common,
            "norm_topk_prob": h.normalize,
            "num_dense_layers": h.dense,
            "routed_scaling_factor": h.scale,
        }

    def more_from_gguf(self, fields: Fields, h: dict[str, Any]) -> dict[str, Any]:
        return {
            **super().more_from_gguf(fields, h),
            "dense": fields.count_or_0("leading_dense_block_count"),
            "normalize": True,
            "scale": 1.0,
        }

    def more_to_gguf(self, h: Lfm2MoeHyper) -> dict[str, Any]:
        if not h.normalize or h.scale != 1:
            raise UnsupportedError(
                f"norm_topk_prob is {h.normalize} and routed_scaling_factor {h.scale}, which GGUF can't state: "
                "an lfm2moe's expert weights add up to 1"
            )
        return {
            **super().more_to_gguf(h),
            **decoder.to_gguf(h, experts.KEYS),
            "expert_gating_func": _SIGMOID,
            "leading_dense_block_count": h.dense,
        }

    def check(self, h: Lfm2MoeHyper, where: str) -> None:
        super().check(h, where)
        if h.dense > h.layers:
            raise FormatError(f"{where}: {h.dense} of {h.layers} layers can't be without experts")

    def feed_forward(self, h: Lfm2MoeHyper, i: int) -> list[TensorName]:
        if i < h.dense:
            return super().feed_forward(h, i)
        bias = TensorName("router_bias", "feed_forward.expert_bias", "exp_probs_b.bias", 1, h.experts)
        router, *matrices = experts.routed_tensors(h.dim, h.expert_dim, h.experts, "feed_forward")
        return [router, bias, *matrices]

    def feed(self, h: Lfm2MoeHyper, g: GraphBuilder, layer: str, x: Value) -> Value:
        if f"{layer}.router" not in g.graph.tensors:
            return super().feed(h, g, layer, x)
        y = g.norm(x, f"{layer}.ffn_norm", h.norm_eps)
        routes = g.route_sigmoid(
            g.matmul(y, f"{layer}.router"),
            f"{layer}.router_bias",
            h.chosen,
            normalize=h.normalize,
            scale=h.scale,
            added=_ADDED,
        )
        return experts.through(g, layer, y, x, routes, h.experts)


family = Lfm2Moe()
