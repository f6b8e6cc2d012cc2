"""The olmo2 family (OLMo 2): llama with norms after attention and feed-forward, and of all queries and all keys
together."""

from __future__ import annotations

from tinsmith.graph import GraphBuilder, Value
from tinsmith.models import decoder
from tinsmith.models.family import Family, TensorName
from tinsmith.spec import Hyper


class Olmo2(Family):
    name = "olmo2"
    hf_architectures = ("Olmo2ForCausalLM",)
    text_models = ("olmo2",)
    defaults = {"max_position_embeddings": 2048, "rms_norm_eps": 1e-5}
    post_norms = True

    def layer(self, h: Hyper, i: int) -> list[TensorName]:
        q, k, *_ = projections = decoder.attention(h)
        names = (
            ("q_norm", "self_attn.q_norm", "attn_q_norm", q.rows),
            ("k_norm", "self_attn.k_norm", "attn_k_norm", k.rows),
            ("attn_post_norm", "post_attention_layernorm", "post_attention_norm", h.dim),
            ("ffn_post_norm", "post_feedforward_layernorm", "post_ffw_norm", h.dim),
        )
        norms = [
            TensorName(role, f"{hf}.weight", f"{gguf}.weight", 1, width) for role, hf, gguf, width in names
        ]
        return [*projections, *norms[:3], *self.feed_forward(h, i), norms[3]]

    def block(self, h: Hyper, g: GraphBuilder, i: int, x: Value, table: Value) -> Value:
        layer = f"layers.{i}"
        q, k, v = decoder.heads(h, g, layer, x)
        q, k = g.norm(q, f"{layer}.q_norm", h.norm_eps), g.norm(k, f"{layer}.k_norm", h.norm_eps)
        x = self.add(h, g, f"{layer}.o", decoder.attend(h, g, q, k, v, table), x)
        gate, up = g.matmuls(x, f"{layer}.gate", f"{layer}.up")
        return self.add(h, g, f"{layer}.down", g.gated(gate, up), x)


family = Olmo2()
