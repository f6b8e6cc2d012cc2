"""The qwen2 family (Qwen2, Qwen2.5): llama with biases on queries, keys and values."""

from __future__ import annotations

from tinsmith.graph import GraphBuilder, Value
from tinsmith.models import decoder
from tinsmith.models.family import TensorName
from tinsmith.spec import Hyper


class Qwen2(decoder.Decoder):
    name = "qwen2"
    model_type = "qwen2"
    hf_architectures = ("Qwen2ForCausalLM",)
    gguf_architecture = "qwen2"
    text_models = ("qwen2",)
    defaults = {"max_position_embeddings": 32768, "num_key_value_heads": 32}
    only = {
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

    def block(self, h: Hyper, g: GraphBuilder, i: int, x: Value, table: Value) -> Value:
        layer = f"layers.{i}"
        y = g.norm(x, f"{layer}.attn_norm", h.norm_eps)
        biases = (f"{layer}.q_bias", f"{layer}.k_bias", f"{layer}.v_bias")
        q, k, v = g.matmuls(y, f"{layer}.q", f"{layer}.k", f"{layer}.v", biases=biases)
        x = g.matmul(decoder.attend(h, g, q, k, v, table), f"{layer}.o", residual=x)
        return decoder.feed(h, g, layer, x)


family = Qwen2()
