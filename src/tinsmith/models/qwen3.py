"""The qwen3 family: llama with an RMS norm of each query and key head before it is rotated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from tinsmith.models import decoder
from tinsmith.models.family import StandIn, TensorName, by_name
from tinsmith.spec import Hyper

if TYPE_CHECKING:
    from tinsmith.graph import GraphBuilder, Value


class Qwen3(decoder.Decoder):
    name: ClassVar[str] = "qwen3"
    model_type: ClassVar[str] = "qwen3"
    hf_architectures: ClassVar[tuple[str, ...]] = ("Qwen3ForCausalLM",)
    gguf_architecture: ClassVar[str] = "qwen3"
    text_models: ClassVar[tuple[str, ...]] = ("qwen3",)
    defaults: ClassVar[Mapping[str, Any]] = {
        "head_dim": 128,
        "max_position_embeddings": 32768,
        "num_key_value_heads": 32,
    }
    only: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "hidden_act": ("silu", "swish"),
        "attention_bias": (False,),
        "use_sliding_window": (False,),
    }
    keeps_head_dim: ClassVar[bool] = True

    def stand_in(self, config: Mapping[str, Any]) -> StandIn | None:
        """Qwen3-VL's language model by itself is written as one of this family."""
        rope = config.get("rope_parameters")
        if self.name != "qwen3" or not isinstance(rope, Mapping) or "mrope_section" not in rope:
            return None
        return StandIn(by_name("qwen3vl"), dict(config), dict)

    def layer(self, h: Hyper) -> list[TensorName]:
        return [
            *decoder.two_norms(h),
            *decoder.attention(h),
            *decoder.head_norms(h),
            *self.feed_forward(h),
        ]

    def feed_forward(self, h: Hyper) -> list[TensorName]:
        return decoder.feed_forward(h)

    def table(self, h: Hyper, g: GraphBuilder) -> Value:
        return g.rope_table(decoder.frequencies(h.rope_base, h.rope_dim))

    def after(self, h: Hyper, g: GraphBuilder, layer: int, x: Value) -> Value:
        """x, the state after a layer, as the next one takes it."""
        return x

    def graph(self, h: Hyper, g: GraphBuilder) -> None:
        x = g.embed("embed")
        table = self.table(h, g)
        for i in range(h.layers):
            layer = f"layers.{i}"
            y = g.norm(x, f"{layer}.attn_norm", h.norm_eps)
            q, k, v = g.matmuls(y, f"{layer}.q", f"{layer}.k", f"{layer}.v")
            q = g.norm(q, f"{layer}.q_norm", h.norm_eps, heads=h.heads)
            k = g.norm(k, f"{layer}.k_norm", h.norm_eps, heads=h.kv_heads)
            cache = g.cache(h.kv_heads, h.head_dim)
            g.kv_append(cache, g.rope(k, table, h.kv_heads), v)
            y = g.attention(cache, g.rope(q, table, h.heads), h.heads, h.head_dim**-0.5)
            x = g.matmul(y, f"{layer}.o", residual=x)
            x = self.after(h, g, i, self.feed(h, g, layer, x))
        g.logits(g.norm(x, "final_norm", h.norm_eps), "embed" if h.tied else "head")

    def feed(self, h: Hyper, g: GraphBuilder, layer: str, x: Value) -> Value:
        """x and what the layer's feed-forward adds to it."""
        y = g.norm(x, f"{layer}.ffn_norm", h.norm_eps)
        gate, up = g.matmuls(y, f"{layer}.gate", f"{layer}.up")
        return g.matmul(g.gated(gate, up), f"{layer}.down", residual=x)


family = Qwen3()
