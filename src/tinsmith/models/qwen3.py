"""The qwen3 family: llama with an RMS norm of each query and key head before it is rotated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinsmith.graph import GraphBuilder, Value
from tinsmith.models import decoder
from tinsmith.models.family import StandIn, TensorName, by_name


class Qwen3(decoder.Decoder):
    name = "qwen3"
    model_type = "qwen3"
    hf_architectures = ("Qwen3ForCausalLM",)
    gguf_architecture = "qwen3"
    text_models = ("qwen3",)
    defaults = {
        "head_dim": 128,
        "max_position_embeddings": 32768,
        "num_key_value_heads": 32,
    }
    only = {
        **decoder.Decoder.only,
        "use_sliding_window": (False,),
    }
    keeps_head_dim = True

    def stand_in(self, config: Mapping[str, Any]) -> StandIn | None:
        """Qwen3-VL's language model alone is written as a qwen3."""
        rope = config.get("rope_parameters")
        if self.name != "qwen3" or not isinstance(rope, Mapping) or "mrope_section" not in rope:
            return None
        return StandIn(by_name("qwen3vl"), dict(config), dict)

    def layer(self, h: Any) -> list[TensorName]:
        return [
            *decoder.two_norms(h),
            *decoder.attention(h),
            *decoder.head_norms(h),
            *self.feed_forward(h),
        ]

    def feed_forward(self, h: Any) -> list[TensorName]:
        return decoder.feed_forward(h)

    def block(self, h: Any, g: GraphBuilder, i: int, x: Value, table: Value) -> Value:
        layer = f"layers.{i}"
        y = g.norm(x, f"{layer}.attn_norm", h.norm_eps)
        q, k, v = g.matmuls(y, f"{layer}.q", f"{layer}.k", f"{layer}.v")
        q = g.norm(q, f"{layer}.q_norm", h.norm_eps, heads=h.heads)
        k = g.norm(k, f"{layer}.k_norm", h.norm_eps, heads=h.kv_heads)
        x = g.matmul(decoder.attend(h, g, q, k, v, table), f"{layer}.o", residual=x)
        return self.feed(h, g, layer, x)

    def feed(self, h: Any, g: GraphBuilder, layer: str, x: Value) -> Value:
        """x and what the layer's feed-forward adds to it."""
        return decoder.feed(h, g, layer, x)


family = Qwen3()
