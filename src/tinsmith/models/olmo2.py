"""The olmo2 family (OLMo 2): llama with norms after attention and feed-forward, and of all queries and all keys
together."""

from __future__ import annotations

from tinsmith.graph import GraphBuilder, Value
from tinsmith.models import decoder
from tinsmith.models.family import TensorName
from tinsmith.spec import Hyper


class Olmo2(decoder.Decoder):
    name = "olmo2"
    model_type = "olmo2"
    hf_architectures = ("Olmo2ForCausalLM",)
    gguf_architecture = "olmo2"
    text_models = ("olmo2",)
    defaults = {"max_position_embeddings": 2048, "rms_norm_eps": 1e-5}

    def layer(self, h: Hyper) -> list[TensorName]:
        queries, keys = h.heads * h.head_dim, h.kv_heads * h.head_dim
        return [
            *decoder.attention(h),
            TensorName("q_norm", "self_attn.q_norm.weight", "attn_q_norm.weight", 1, queries),
            TensorName("k_norm", "self_attn.k_norm.weight", "attn_k_norm.weight", 1, keys),
            TensorName(
                "attn_post_norm", "post_attention_layernorm.weight", "post_attention_norm.weight", 1, h.dim
            ),
            *decoder.feed_forward(h),
            TensorName("ffn_post_norm", "post_feedforward_layernorm.weight", "post_ffw_norm.weight", 1, h.dim),
        ]

    def block(self, h: Hyper, g: GraphBuilder, i: int, x: Value, table: Value) -> Value:
        layer = f"layers.{i}"
        q, k, v = g.matmuls(x, f"{layer}.q", f"{layer}.k", f"{layer}.v")
        q, k = g.norm(q, f"{layer}.q_norm", h.norm_eps), g.norm(k, f"{layer}.k_norm", h.norm_eps)
        y = decoder.attend(h, g, q, k, v, table)
        x = g.norm(g.matmul(y, f"{layer}.o"), f"{layer}.attn_post_norm", h.norm_eps, residual=x)
        gate, up = g.matmuls(x, f"{layer}.gate", f"{layer}.up")
        y = g.matmul(g.gated(gate, up), f"{layer}.down")
        return g.norm(y, f"{layer}.ffn_post_norm", h.norm_eps, residual=x)


family = Olmo2()
