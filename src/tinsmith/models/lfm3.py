"""The lfm3 family: lfm2 with norms after each block, a gate for each attention head, and windows in some
attention layers, with a different RoPE.

llama.cpp has no such architecture yet: only tinsmith reads its GGUF files, which use llama.cpp's names of the
same parts in other families.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tinsmith.errors import FormatError
from tinsmith.graph import GraphBuilder
from tinsmith.models import decoder, lfm2, two_rotations
from tinsmith.models.family import Fields, TensorName, shortest_float32
from tinsmith.models.per_layer import layer_types, window_pattern
from tinsmith.models.two_rotations import FULL, SLIDING
from tinsmith.spec import Hyper, Tensor

CONV = "conv"


@dataclass(frozen=True)
class Lfm3Hyper(lfm2.Lfm2Hyper):
    """windowed: attention layers limited to the latest `window` positions, with RoPE base local_base. In the
    other attention layers rope_base rotates the first `turning` values of a head."""

    window: int
    windowed: tuple[int, ...]
    local_base: float
    turning: int


class Lfm3(lfm2.Lfm2):
    name = "lfm3"
    model_type = "lfm3"
    hf_architectures = ("Lfm3ForCausalLM",)
    gguf_architecture = "lfm3"
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
    only_gguf = {"rope.scaling.type": ("none",)}
    keeps_head_dim = True

    def rope_from_hf(self, config: Mapping[str, Any]) -> Fields:
        return two_rotations.from_hf(config, 0.5)

    def more_from_hf(self, fields: Fields, rope: Fields) -> dict[str, Any]:
        kinds = _kinds(fields)
        return {
            "attention": tuple(i for i, kind in enumerate(kinds) if kind != CONV),
            "taps": fields.count("conv_L_cache"),
            "norm_eps": fields.real("norm_eps"),
            "window": fields.count("sliding_window"),
            "windowed": tuple(i for i, kind in enumerate(kinds) if kind == SLIDING),
            "local_base": rope.real("local_theta", 1e4),
            "turning": two_rotations.turning_from_hf(rope, fields.count("head_dim")),
        }

    def hyper_to_hf(self, h: Hyper) -> dict[str, Any]:
        config = super().hyper_to_hf(h)
        return {key: given for key, given in config.items() if key not in ("rope_scaling", "rope_theta")}

    def more_to_hf(self, h: Lfm3Hyper) -> dict[str, Any]:
        attention = {i: SLIDING if i in h.windowed else FULL for i in h.attention}
        return {
            "conv_L_cache": h.taps,
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
            "taps": fields.count("shortconv.l_cache"),
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

    def tensors(self, h: Lfm3Hyper) -> list[TensorName]:
        return [two_rotations.factors_name(h.head_dim), *super().tensors(h)]

    def derive(self, h: Lfm3Hyper) -> dict[str, Tensor]:
        return {"rope_freqs": two_rotations.factors(h.turning, h.head_dim)}

    def mixer(self, h: Lfm3Hyper, i: int) -> list[TensorName]:
        post = TensorName("attn_post_norm", "post_operator_norm.weight", "post_attention_norm.weight", 1, h.dim)
        if i not in h.attention:
            return [*lfm2.convolution_tensors(h), post]
        gate = TensorName("head_gate", "self_attn.g_proj.weight", "attn_gate.weight", h.heads, h.dim)
        gate = replace(gate, stored="self_attn.gate_proj.weight")
        return [*decoder.attention(h), *decoder.head_norms(h), gate, post]

    def layer_at(self, h: Lfm3Hyper, i: int) -> list[TensorName]:
        post = TensorName("ffn_post_norm", "post_ffn_norm.weight", "post_ffw_norm.weight", 1, h.dim)
        return [*super().layer_at(h, i), post]

    def check(self, h: Lfm3Hyper, where: str) -> None:
        super().check(h, where)
        if h.turning % 2 or h.turning > h.head_dim:
            raise FormatError(f"{where}: can't rotate {h.turning} of a head's {h.head_dim} values")

    def graph(self, h: Lfm3Hyper, g: GraphBuilder) -> None:
        x = g.embed("embed")
        tables = {
            True: g.rope_table(decoder.frequencies(h.local_base, h.head_dim)),
            False: g.rope_table(two_rotations.frequencies(h.rope_base, h.turning, h.head_dim)),
        }
        for i in range(h.layers):
            layer, windowed = f"layers.{i}", i in h.windowed
            y = g.norm(x, f"{layer}.attn_norm", h.norm_eps)
            if i in h.attention:
                heads = lfm2.attention(h, g, layer, y, tables[windowed], h.window if windowed else 0)
                y = g.gated(g.matmul(y, f"{layer}.head_gate"), heads, act="sigmoid")
            else:
                y = lfm2.convolution(h, g, layer, y)
            x = g.norm(g.matmul(y, f"{layer}.o"), f"{layer}.attn_post_norm", h.norm_eps, residual=x)
            x = decoder.feed_normed(h, g, layer, x, act="silu")
        g.logits(g.norm(x, "final_norm", h.norm_eps), h.head)


def _kinds(fields: Fields) -> list[str]:
    """The kind of each layer; transformers' choice if the config has no layer_types."""
    if fields.get("layer_types") is not None:
        return layer_types(fields, (CONV, SLIDING, FULL))
    usual = {2: FULL, 0: SLIDING}
    return [usual.get(i % 4, CONV) if i else CONV for i in range(fields.count("num_hidden_layers"))]


family = Lfm3()
