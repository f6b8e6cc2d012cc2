"""The granitehybrid family (Granite 4 hybrid, without experts): some layers are attention, with or without
RoPE, the others Mamba-2's selective state update; Granite's four multipliers.

A folder of a dense Granite 4 names the same architecture; it is read as the granite family, as GGUF names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.formats.safetensors import Tensor as Stored
from tinsmith.graph import GraphBuilder, Value
from tinsmith.models import decoder, granite, mamba2
from tinsmith.models.decoder import kv_heads_by_layer, layer_types
from tinsmith.models.family import Family, Fields, StandIn, TensorName
from tinsmith.models.granite import MULTIPLIERS, UNSCALED, Granite, GraniteHyper, attention_scale
from tinsmith.spec import Buffer, Hyper

# In older and in newer configs.
_ATTENTION, _MAMBA = ("attention", "full_attention"), ("mamba", "linear_attention")


@dataclass(frozen=True)
class GraniteHybridHyper(GraniteHyper, mamba2.Mamba2Hyper):
    """attention: indices of the attention layers; rotates: whether they use RoPE. The others are Mamba-2."""

    attention: tuple[int, ...]
    rotates: bool


class GraniteHybrid(Granite):
    name = "granitehybrid"
    model_type = "granitemoehybrid"
    hf_architectures = ("GraniteMoeHybridForCausalLM",)
    hyper = GraniteHybridHyper
    keys = (*MULTIPLIERS, *mamba2.KEYS)
    defaults = {
        "max_position_embeddings": 2048,
        "num_local_experts": 8,
        "shared_intermediate_size": 1024,
        **UNSCALED,
        **mamba2.DEFAULTS,
    }
    only = {
        "num_local_experts": (0,),
        **Family.only,
        "mamba_n_groups": (1,),  # of several, transformers norms the whole row, llama.cpp each group
        **mamba2.ONLY,
    }
    only_gguf = {"rope.scaling.type": ("none",), "ssm.group_count": (1,)}

    def stand_in(self, config: Mapping[str, Any]) -> StandIn | None:
        types = config.get("layer_types")
        dense = isinstance(types, list) and types and all(kind in _ATTENTION for kind in map(str, types))
        if not dense or config.get("position_embedding_type") != "rope" or config.get("num_local_experts"):
            return None
        own = {
            "architectures": list(granite.family.hf_architectures),
            "intermediate_size": config.get("shared_intermediate_size"),
            "model_type": granite.family.model_type,
        }
        return StandIn(granite.family, {**config, **own}, _as_llama_has_them)

    def more_from_hf(self, fields: Fields, rope: Fields) -> dict[str, Any]:
        fields.refuse("position_embedding_type", None, "nope", "rope")
        width = fields.count("mamba_expand") * fields.count("hidden_size")
        return {
            "ffn_dim": fields.count("shared_intermediate_size"),
            "attention": _attention_layers(fields),
            "rotates": fields.get("position_embedding_type") == "rope",
            "state_head_dim": mamba2.head_dim_from_hf(fields, width),
        }

    def more_to_hf(self, h: GraniteHybridHyper) -> dict[str, Any]:
        types = [_ATTENTION[1] if i in h.attention else _MAMBA[1] for i in range(h.layers)]
        return {
            "layer_types": types,
            "mamba_expand": mamba2.inner(h) // h.dim,
            "mamba_d_head": h.state_head_dim,
            "num_experts_per_tok": 0,
            "position_embedding_type": "rope" if h.rotates else None,
            "shared_intermediate_size": h.ffn_dim,
        }

    def hyper_from_gguf(self, meta: Mapping[str, Any], *, tied: bool) -> Hyper:
        return super().hyper_from_gguf({**meta, **kv_heads_by_layer(meta, self.gguf_architecture)}, tied=tied)

    def more_from_gguf(self, fields: Fields, h: dict[str, Any]) -> dict[str, Any]:
        fields.refuse("layers", h["layers"])
        width = fields.count("ssm.inner_size")
        if width % h["dim"]:
            raise FormatError(f"{fields.where}: ssm.inner_size {width} is no multiple of the width {h['dim']}")
        return attention_scale(fields, h) | {
            "attention": tuple(fields.get("attention_layers")),
            "rotates": bool(fields.get("rope.scaling.finetuned")),
            "state_head_dim": mamba2.head_dim_from_gguf(fields),
        }

    def more_to_gguf(self, h: GraniteHybridHyper) -> dict[str, Any]:
        return {
            **decoder.to_gguf(h, MULTIPLIERS),
            "attention.head_count_kv": [h.kv_heads if i in h.attention else 0 for i in range(h.layers)],
            "expert_count": 0,
            "expert_used_count": 0,
            "expert_shared_feed_forward_length": h.ffn_dim,
            "rope.dimension_count": h.rope_dim,
            "rope.scaling.finetuned": h.rotates,
            **mamba2.hyper_to_gguf(h),
            "vocab_size": h.vocab,
        }

    def layer(self, h: GraniteHybridHyper, i: int) -> list[TensorName]:
        attn_norm, ffn_norm = decoder.two_norms(h)
        norm = TensorName("state_norm", "mamba.norm.weight", "ssm_norm.weight", 1, mamba2.inner(h))
        mamba = [*mamba2.tensors(h, "o"), replace(norm, gguf_dims=(norm.inputs, 1))]
        mixer = decoder.attention(h, permuted=True) if i in h.attention else mamba
        return [attn_norm, *mixer, ffn_norm, *self.feed_forward(h, i)]

    def feed_forward(self, h: Hyper, i: int) -> list[TensorName]:
        """A folder stores gate and up as one tensor, GGUF as two."""
        both = TensorName("gate_up", "shared_mlp.input_linear.weight", "ffn_gate.weight", 2 * h.ffn_dim, h.dim)
        return [
            replace(both, gguf_more=("ffn_up.weight",)),
            TensorName("down", "shared_mlp.output_linear.weight", "ffn_down.weight", h.dim, h.ffn_dim),
        ]

    def check(self, h: GraniteHybridHyper, where: str) -> None:
        super().check(h, where)
        if not 0 < len(h.attention) < h.layers:
            raise UnsupportedError(
                f"{where}: {len(h.attention)} of {h.layers} layers are attention; some or all with RoPE"
            )
        mamba2.check(h, where)
        if h.ffn_dim % 16:
            raise UnsupportedError(f"{where}: a feed-forward of {h.ffn_dim}; supported: multiples of 16")

    def rope_table(self, h: GraniteHybridHyper, g: GraphBuilder) -> Value | None:
        return super().rope_table(h, g) if h.rotates else None

    def mix(self, h: GraniteHybridHyper, g: GraphBuilder, i: int, y: Value, table: Value | None) -> Value:
        layer = f"layers.{i}"
        if i not in h.attention:
            return g.norm(mamba2.mixed(h, g, layer, y), f"{layer}.state_norm", h.norm_eps)
        q, k, v = decoder.heads(h, g, layer, y)
        if table is not None:
            q, k = g.rope(q, table, h.heads), g.rope(k, table, h.kv_heads)
        return decoder.attend(h, g, q, k, v, None, scale=h.attention_scale)

    def gate_and_up(self, h: Hyper, g: GraphBuilder, layer: str, y: Value) -> tuple[Value, ...]:
        return decoder.fused_gate_and_up(h, g, layer, y)


def _as_llama_has_them(stored: Mapping[str, Stored]) -> dict[str, Stored]:
    tensors: dict[str, Stored] = {}
    for name, tensor in stored.items():
        prefix, fused, _ = name.partition(".shared_mlp.input_linear.")
        if fused and len(tensor.shape) == 2:
            assert isinstance(tensor.data, Buffer)
            view, rows = memoryview(tensor.data).cast("B"), tensor.shape[0] // 2
            for part, data in (("gate", view[: len(view) // 2]), ("up", view[len(view) // 2 :])):
                half = Stored(tensor.dtype, (rows, tensor.shape[1]), data)
                tensors[f"{prefix}.mlp.{part}_proj.weight"] = half
        else:
            tensors[name.replace(".shared_mlp.output_linear.", ".mlp.down_proj.")] = tensor
    return tensors


def _attention_layers(fields: Fields) -> tuple[int, ...]:
    types = layer_types(fields, (*_ATTENTION, *_MAMBA))
    return tuple(i for i, kind in enumerate(types) if kind in _ATTENTION)


family = GraniteHybrid()
