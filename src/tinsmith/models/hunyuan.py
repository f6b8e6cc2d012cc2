"""The hunyuan family (Hunyuan dense, 0.5B to 7B): llama with an RMS norm of each query and key head after RoPE.
Checkpoints stretch RoPE by a factor `alpha` of its base; reading folds it into the base, as GGUF does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.graph import GraphBuilder, Value
from tinsmith.models import decoder
from tinsmith.models.family import Family, Fields, TensorName, shortest_float32
from tinsmith.spec import Hyper

STRETCHED = "dynamic"  # the checkpoints' name, although nothing depends on a text's length
MOST = 1e12  # largest base and alpha: their product is a float32


class Hunyuan(Family):
    name = "hunyuan"
    model_type = "hunyuan_v1_dense"
    hf_architectures = ("HunYuanDenseV1ForCausalLM",)
    gguf_architecture = "hunyuan-dense"
    text_models = ("hunyuan_v1_dense",)
    defaults = {"max_position_embeddings": 2048, "rms_norm_eps": 1e-5}
    keeps_head_dim = True

    def rope_from_hf(self, config: Mapping[str, Any]) -> Fields:
        return Fields(decoder.rope_settings(config, "default", STRETCHED), decoder.CONFIG)

    def more_from_hf(self, fields: Fields, rope: Fields) -> dict[str, Any]:
        if rope.values["rope_type"] != STRETCHED:
            return {}
        if not rope.values.get("alpha"):
            raise UnsupportedError(
                f"{rope.where}: rope_scaling of type {STRETCHED!r} without alpha is not supported; supported: "
                f"'default', and {STRETCHED!r} with alpha"
            )
        dim = fields.count("head_dim", fields.count("hidden_size") // fields.count("num_attention_heads"))
        base, alpha = rope.real("rope_theta", 1e4), rope.real("alpha")
        if dim < 4 or max(base, alpha) > MOST:
            raise FormatError(f"{rope.where}: heads of {dim} can't turn by base {base:g} and alpha {alpha:g}")
        return {"rope_base": shortest_float32(base * alpha ** (dim / (dim - 2)))}

    def layer(self, h: Hyper, i: int) -> list[TensorName]:
        q_norm, k_norm = decoder.head_norms(h)
        return [
            *decoder.two_norms(h),
            *decoder.attention(h),
            replace(q_norm, hf="self_attn.query_layernorm.weight"),
            replace(k_norm, hf="self_attn.key_layernorm.weight"),
            *self.feed_forward(h, i),
        ]

    def mix(self, h: Hyper, g: GraphBuilder, i: int, y: Value, table: Value) -> Value:
        layer = f"layers.{i}"
        q, k, v = decoder.heads(h, g, layer, y)
        q = g.norm(g.rope(q, table, h.heads), f"{layer}.q_norm", h.norm_eps, heads=h.heads)
        k = g.norm(g.rope(k, table, h.kv_heads), f"{layer}.k_norm", h.norm_eps, heads=h.kv_heads)
        return decoder.attend(h, g, q, k, v, None)


family = Hunyuan()
