"""The qwen2 family (Qwen2, Qwen2.5): llama with biases on queries, keys and values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from tinsmith.models import decoder
from tinsmith.models.family import TensorName
from tinsmith.spec import Hyper

if TYPE_CHECKING:
    from tinsmith.graph import GraphBuilder


class Qwen2(decoder.Decoder):
    name: ClassVar[str] = "qwen2"
    model_type: ClassVar[str] = "qwen2"
    hf_architectures: ClassVar[tuple[str, ...]] = ("Qwen2ForCausalLM",)
    gguf_architecture: ClassVar[str] = "qwen2"
    text_models: ClassVar[tuple[str, ...]] = ("qwen2",)
    defaults: ClassVar[Mapping[str, Any]] = {"max_position_embeddings": 32768, "num_key_value_heads": 32}
    only: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "hidden_act": ("silu", "swish"),
        "use_sliding_window": (False,),
    }

    def layer(self, h: Hyper) -> list[TensorName]:
        queries, keys = h.heads * h.head_dim, h.kv_heads * h.head_dim
        biases = [
            TensorName("q_bias", "self_attn.q_proj.bias", "attn_q.bias", 1, queries),
            TensorName("k_bias", "self_attn.k_proj.bias", "attn_k.bias", 1, keys),
            TensorName("v_bias", "self_attn.v_proj.bias", "attn_v.bias", 1, keys),
        ]
        return [*decoder.two_norms(h), *decoder.attention(h), *biases, *decoder.feed_forward(h)]

    def graph(self, h: Hyper, g: GraphBuilder) -> None:
        x = g.embed("embed")
        table = g.rope_table(decoder.frequencies(h.rope_base, h.rope_dim))
        for i in range(h.layers):
            layer = f"layers.{i}"
            y = g.norm(x, f"{layer}.attn_norm", h.norm_eps)
            biases = (f"{layer}.q_bias", f"{layer}.k_bias", f"{layer}.v_bias")
            q, k, v = g.matmuls(y, f"{layer}.q", f"{layer}.k", f"{layer}.v", biases=biases)
            cache = g.cache(h.kv_heads, h.head_dim)
            g.kv_append(cache, g.rope(k, table, h.kv_heads), v)
            y = g.attention(cache, g.rope(q, table, h.heads), h.heads, h.head_dim**-0.5)
            x = g.matmul(y, f"{layer}.o", residual=x)
            y = g.norm(x, f"{layer}.ffn_norm", h.norm_eps)
            gate, up = g.matmuls(y, f"{layer}.gate", f"{layer}.up")
            x = g.matmul(g.gated(gate, up), f"{layer}.down", residual=x)
        g.logits(g.norm(x, "final_norm", h.norm_eps), "embed" if h.tied else "head")


family = Qwen2()
