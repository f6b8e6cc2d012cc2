"""The phi3 family (Phi-3 and 3.5 mini, Phi-4, Phi-4-mini): llama with fused projections, [q; k; v] and [gate;
up], an optional window on every layer's attention, and optionally partial RoPE.

A model for long texts (longrope) has two sets of RoPE factors: short ones up to the original training length,
and long ones beyond. The native runtime computes with the short ones, and so only up to that length: otherwise
a growing text would change the positions of its first tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.graph import GraphBuilder, Value
from tinsmith.models import decoder
from tinsmith.models.family import Family, Fields, TensorName, shortest_float32
from tinsmith.spec import Hyper, Tensor


@dataclass(frozen=True)
class Phi3Hyper(Hyper):
    """window: 0 for none. original: the original training length. long, short: divisors of each pair's
    frequency, empty without longrope. magnitude: multiplies RoPE's cosines and sines."""

    window: int
    original: int
    long: tuple[float, ...]
    short: tuple[float, ...]
    magnitude: float


class Phi3(Family):
    name = "phi3"
    hf_architectures = ("Phi3ForCausalLM",)
    hyper = Phi3Hyper
    defaults = {"max_position_embeddings": 4096, "original_max_position_embeddings": 4096, "rms_norm_eps": 1e-5}
    only_gguf = {"rope.scaling.type": ("none", "longrope")}

    def rope_from_hf(self, config: Mapping[str, Any]) -> Fields:
        settings = decoder.rope_settings(config, "default", "longrope", "su")
        return Fields({**config, **settings}, decoder.CONFIG)

    def more_from_hf(self, fields: Fields, rope: Fields) -> dict[str, Any]:
        settings: dict[str, Any] = {
            "window": fields.count_or_0("sliding_window"),
            "original": rope.count("original_max_position_embeddings"),
            "long": (),
            "short": (),
            "magnitude": 1.0,
        }
        if rope.values["rope_type"] == "default":
            return settings
        usual = _magnitude(fields.count("max_position_embeddings"), settings["original"], rope)
        return settings | {
            "long": _factors(rope, "long_factor"),
            "short": _factors(rope, "short_factor"),
            "magnitude": shortest_float32(rope.real("attention_factor", usual)),
        }

    def more_to_hf(self, h: Phi3Hyper) -> dict[str, Any]:
        own: dict[str, Any] = {
            "original_max_position_embeddings": h.original,
            "partial_rotary_factor": h.rope_dim / h.head_dim,
            "sliding_window": h.window or None,
        }
        if h.short:
            own["rope_scaling"] = {
                "type": "longrope",
                "long_factor": list(h.long),
                "short_factor": list(h.short),
                "attention_factor": h.magnitude,
            }
        return own

    def more_from_gguf(self, fields: Fields, h: dict[str, Any]) -> dict[str, Any]:
        long, short = (fields.values.get(f"rope_factors_{kind}.weight", ()) for kind in ("long", "short"))
        return {
            "window": fields.count_or_0("attention.sliding_window"),
            "original": fields.count("rope.scaling.original_context_length", h["context"]),
            "long": tuple(shortest_float32(one) for one in long),
            "short": tuple(shortest_float32(one) for one in short),
            "magnitude": shortest_float32(fields.real("rope.scaling.attn_factor", 1.0)),
        }

    def more_to_gguf(self, h: Phi3Hyper) -> dict[str, Any]:
        own: dict[str, Any] = {
            "rope.scaling.original_context_length": h.original,
            "rope.dimension_count": h.rope_dim,
            "attention.sliding_window": h.window,
        }
        return own | ({"rope.scaling.attn_factor": h.magnitude} if h.short else {})

    def check(self, h: Phi3Hyper, where: str) -> None:
        if {len(h.long), len(h.short)} not in ({0}, {h.rope_dim // 2}):
            raise FormatError(
                f"{where}: long_factor has {len(h.long)} numbers and short_factor {len(h.short)}, and "
                f"{h.rope_dim // 2} pairs are rotated (partial_rotary_factor)"
            )
        if h.head_dim != h.dim // h.heads:
            raise UnsupportedError(f"{where}: head_dim is {h.head_dim}; supported: {h.dim // h.heads}")

    def layer(self, h: Hyper, i: int) -> list[TensorName]:
        queries, keys = h.heads * h.head_dim, h.kv_heads * h.head_dim
        rows = queries + 2 * keys
        return [
            *decoder.two_norms(h),
            TensorName("qkv", "self_attn.qkv_proj.weight", "attn_qkv.weight", rows, h.dim),
            TensorName("o", "self_attn.o_proj.weight", "attn_output.weight", h.dim, queries),
            TensorName("gate_up", "mlp.gate_up_proj.weight", "ffn_up.weight", 2 * h.ffn_dim, h.dim),
            TensorName("down", "mlp.down_proj.weight", "ffn_down.weight", h.dim, h.ffn_dim),
        ]

    def tensors(self, h: Phi3Hyper) -> list[TensorName]:
        own = [TensorName(role, "", f"{role}.weight", 1, h.rope_dim // 2) for role in self.derive(h)]
        return [*own, *super().tensors(h)]

    def derive(self, h: Phi3Hyper) -> dict[str, Tensor]:
        if not h.short:
            return {}
        return {"rope_factors_long": decoder.vector(h.long), "rope_factors_short": decoder.vector(h.short)}

    def context(self, h: Any) -> int:
        return int(min(h.context, h.original) if h.short else h.context)

    def notes(self, h: Phi3Hyper) -> tuple[str, ...]:
        if self.context(h) == h.context:
            return ()
        return (
            f"texts of up to {h.original} tokens, the original training length; RoPE for up to {h.context} is "
            "not supported",
        )

    def rope_table(self, h: Phi3Hyper, g: GraphBuilder) -> Value:
        return g.rope_table(decoder.frequencies(h.rope_base, h.rope_dim, h.short or 1.0), factor=h.magnitude)

    def mix(self, h: Phi3Hyper, g: GraphBuilder, i: int, y: Value, table: Value) -> Value:
        queries, keys = h.heads * h.head_dim, h.kv_heads * h.head_dim
        y = g.matmul(y, f"layers.{i}.qkv")
        q, k, v = g.slice(y, 0, queries), g.slice(y, queries, keys), g.slice(y, queries + keys, keys)
        return decoder.attend(h, g, q, k, v, table, window=h.window)

    def gate_and_up(self, h: Hyper, g: GraphBuilder, layer: str, y: Value) -> tuple[Value, ...]:
        return decoder.fused_gate_and_up(h, g, layer, y)


def _factors(rope: Fields, key: str) -> tuple[float, ...]:
    given = rope.items(key, "positive numbers", lambda x: isinstance(x, (int, float)) and 0 < x < math.inf)
    return tuple(map(shortest_float32, given))


def _magnitude(context: int, original: int, rope: Fields) -> float:
    """transformers' default, which grows with the ratio of the two lengths."""
    longer = rope.real("factor", context / original)
    return math.sqrt(1 + math.log(longer) / math.log(original)) if longer > 1 else 1.0


family = Phi3()
