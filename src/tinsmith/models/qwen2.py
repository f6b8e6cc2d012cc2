"""The qwen2 family (Qwen2, Qwen2.5): llama with biases on queries, keys and values."""

from __future__ import annotations

from tinsmith.graph import GraphBuilder, Value
from tinsmith.models import decoder
from tinsmith.models.family import Family, TensorName
from tinsmith.spec import Hyper


class Qwen2(Family):
    name = "qwen2"
    hf_architectures = ("Qwen2ForCausalLM",)
    text_models = ("qwen2",)
    defaults = {"max_position_embeddings": 32768, "num_key_value_heads": 32}
    only = {"hidden_act": ("silu", "swish"), "use_sliding_window": (False,)}

    def layer(self, h: Hyper, i: int) -> list[TensorName]:
        projections = decoder.attention(h)
        biases = [
            TensorName(f"{part}_bias", f"self_attn.{part}_proj.bias", f"attn_{part}.bias", 1, name.rows)
            for part, name in zip("qkv", projections[:3], strict=True)
        ]
        return [*decoder.two_norms(h), *projections, *biases, *self.feed_forward(h, i)]

    def mix(self, h: Hyper, g: GraphBuilder, i: int, y: Value, table: Value) -> Value:
        weights = [f"layers.{i}.{part}" for part in "qkv"]
        q, k, v = g.matmuls(y, *weights, biases=[f"{weight}_bias" for weight in weights])
        return decoder.attend(h, g, q, k, v, table)


family = Qwen2()
