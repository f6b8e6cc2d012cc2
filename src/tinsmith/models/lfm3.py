"""The lfm3 family: lfm2 with norms after each block, a gate for each attention head, and windows in some
attention layers, with a different RoPE.

llama.cpp has no such architecture yet: only tinsmith reads its GGUF files, which use llama.cpp's names of the
same parts in other families.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tinsmith.errors import FormatError
from tinsmith.graph import GraphBuilder, Value
from tinsmith.models import decoder, lfm2, two_rotations
from tinsmith.models.decoder import layer_types, window_pattern
from tinsmith.models.family import Fields, TensorName, shortest_float32
from tinsmith.models.two_rotations import FULL, SLIDING, TwoRotations

CONV = "conv"


@dataclass(frozen=True)
class Lfm3Hyper(lfm2.Lfm2Hyper):
    """windowed: attention layers limited to the latest `window` positions, with RoPE base local_base. In the
    other attention layers rope_base rotates the first `turning` values of a head."""

    window: int
    windowed: tuple[int, ...]
    local_base: float
    turning: int


class Lfm3(TwoRotations, lfm2.Lfm2):
    name = "lfm3"
    hf_architectures = ("Lfm3ForCausalLM",)
    text_models = ("lfm3",)
    hyper = Lfm3Hyper
    defaults = {
        "conv_L_cache": 7,
        "head_dim": 128,
        "max_position_embeddings": 128000,
        "norm_eps": 1e-5,
        "num_key_value_heads": 4,
        "sliding_window": 256,
        "tie_word_embeddings": True,
        "use_attention_gate": True,
        "use_sandwich_norm": True,
    }
    only = {
        "attention_bias": (False,),
        "conv_bias": (False,),
        "use_attention_gate": (True,),
        "use_sandwich_norm": (True,),
    }
    share = 0.5
    post_norms = True
    keeps_head_dim = True

    def more_from_hf(self, fields: Fields, rope: Fields) -> dict[str, Any]:
        kinds = _kinds(fields)
        return {
            "attention": tuple(i for i, kind in enumerate(kinds) if kind != CONV),
            "norm_eps": fields.real("norm_eps"),
            "window": fields.count("sliding_window"),
            "windowed": tuple(i for i, kind in enumerate(kinds) if kind == SLIDING),
            "local_base": rope.real("local_theta", 1e4),
            "turning": two_rotations.turning_from_hf(rope, fields.count("head_dim")),
        }

    def more_to_hf(self, h: Lfm3Hyper) -> dict[str, Any]:
        attention = {i: SLIDING if i in h.windowed else FULL for i in h.attention}
        return {
            "layer_types": [attention.get(i, CONV) for i in range(h.layers)],
            "norm_eps": h.norm_eps,
            "rope_parameters": two_rotations.to_hf(h.rope_base, h.local_base, h.turning, h.head_dim),
            "sliding_window": h.window,
        }

    def more_from_gguf(self, fields: Fields, h: dict[str, Any]) -> dict[str, Any]:
        fields.refuse("layers", h["layers"])
        attention, pattern = tuple(fields.get("attention_layers")), window_pattern(fields, h["layers"])
        return {
            "attention": attention,
            "window": fields.count("attention.sliding_window"),
            "windowed": tuple(i for i in attention if pattern[i]),
            "local_base": shortest_float32(fields.real("rope.freq_base_swa", 1e4)),
            "turning": two_rotations.turning_from_gguf(fields, h["head_dim"]),
        }

    def more_to_gguf(self, h: Lfm3Hyper) -> dict[str, Any]:
        return super().more_to_gguf(h) | {
            "attention.sliding_window": h.window,
            "attention.sliding_window_pattern": [i in h.windowed for i in range(h.layers)],
            "rope.freq_base_swa": h.local_base,
        }

    def turning(self, h: Lfm3Hyper) -> tuple[int, int]:
        return h.turning, h.head_dim

    def mixer(self, h: Lfm3Hyper, i: int) -> list[TensorName]:
        post = TensorName("attn_post_norm", "post_operator_norm.weight", "post_attention_norm.weight", 1, h.dim)
        if i not in h.attention:
            return [*lfm2.convolution_tensors(h), post]
        gate = TensorName("head_gate", "self_attn.g_proj.weight", "attn_gate.weight", h.heads, h.dim)
        gate = replace(gate, stored="self_attn.gate_proj.weight")
        return [*decoder.attention(h), *decoder.head_norms(h), gate, post]

    def layer(self, h: Lfm3Hyper, i: int) -> list[TensorName]:
        post = TensorName("ffn_post_norm", "post_ffn_norm.weight", "post_ffw_norm.weight", 1, h.dim)
        return [*super().layer(h, i), post]

    def check(self, h: Lfm3Hyper, where: str) -> None:
        super().check(h, where)
        if h.turning % 2 or h.turning > h.head_dim:
            raise FormatError(f"{where}: can't rotate {h.turning} of a head's {h.head_dim} values")

    def attention_options(self, h: Lfm3Hyper, i: int) -> dict[str, Any]:
        return {"window": h.window if i in h.windowed else 0}

    def mix(self, h: Lfm3Hyper, g: GraphBuilder, i: int, y: Value, table: dict[bool, Value]) -> Value:
        heads = super().mix(h, g, i, y, table[i in h.windowed])
        if i not in h.attention:
            return heads
        return g.gated(g.matmul(y, f"layers.{i}.head_gate"), heads, act="sigmoid")


def _kinds(fields: Fields) -> list[str]:
    """The kind of each layer; transformers' choice if the config has no layer_types."""
    if fields.get("layer_types") is not None:
        return layer_types(fields, (CONV, SLIDING, FULL))
    usual = {2: FULL, 0: SLIDING}
    return [usual.get(i % 4, CONV) if i else CONV for i in range(fields.count("num_hidden_layers"))]


family = Lfm3()
