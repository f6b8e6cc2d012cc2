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
from tinsmith.models.family import Fields, StandIn, TensorName
from tinsmith.models.granite import MULTIPLIERS, GraniteHyper, multipliers_from_gguf, multipliers_from_hf
from tinsmith.models.per_layer import kv_heads, layer_types
from tinsmith.spec import Buffer, Hyper

# In older and in newer configs.
_ATTENTION, _MAMBA = ("attention", "full_attention"), ("mamba", "linear_attention")


@dataclass(frozen=True)
class GraniteHybridHyper(GraniteHyper, mamba2.Mamba2Hyper):
    """attention: indices of the attention layers; rotates: whether they use RoPE. The others are Mamba-2."""

    attention: tuple[int, ...]
    rotates: bool


class GraniteHybrid(decoder.Decoder):
    name = "granitehybrid"
    model_type = "granitemoehybrid"
    hf_architectures = ("GraniteMoeHybridForCausalLM",)
    gguf_architecture = "granitehybrid"
    hyper = GraniteHybridHyper
    defaults = {
        "max_position_embeddings": 2048,
        "num_local_experts": 8,
        "shared_intermediate_size": 1024,
        **mamba2.DEFAULTS,
    }
    only = {
        "num_local_experts": (0,),
        **decoder.Decoder.only,
        "mamba_n_groups": (1,),  # of several, transformers norms the whole row, llama.cpp each group
        **mamba2.ONLY,
    }
    only_gguf = {
        "rope.scaling.type": ("none",),
        "ssm.group_count": (1,),
    }

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
            **multipliers_from_hf(fields),
            "ffn_dim": fields.count("shared_intermediate_size"),
            "attention": _attention_layers(fields),
            "rotates": fields.get("position_embedding_type") == "rope",
            **mamba2.hyper_from_hf(fields, width),
        }

    def more_to_hf(self, h: GraniteHybridHyper) -> dict[str, Any]:
        types = [_ATTENTION[1] if i in h.attention else _MAMBA[1] for i in range(h.layers)]
        return {
            **decoder.to_hf(h, MULTIPLIERS),
            "layer_types": types,
            "mamba_expand": mamba2.inner(h) // h.dim,
            **mamba2.hyper_to_hf(h),
            "num_experts_per_tok": 0,
            "position_embedding_type": "rope" if h.rotates else None,
            "shared_intermediate_size": h.ffn_dim,
        }

    def hyper_from_gguf(self, meta: Mapping[str, Any], *, tied: bool) -> Hyper:
        return super().hyper_from_gguf({**meta, **kv_heads(meta, self.gguf_architecture)}, tied=tied)

    def more_from_gguf(self, fields: Fields, h: dict[str, Any]) -> dict[str, Any]:
        fields.refuse("layers", h["layers"])
        width = fields.count("ssm.inner_size")
        if width % h["dim"]:
            raise FormatError(
                f"{fields.where}: ssm.inner_size {width} is not a multiple of embedding_length {h['dim']}"
            )
        return multipliers_from_gguf(fields, h) | {
            "attention": tuple(fields.get("attention_layers")),
            "rotates": bool(fields.get("rope.scaling.finetuned")),
            **mamba2.hyper_from_gguf(fields),
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

    def layer_at(self, h: GraniteHybridHyper, i: int) -> list[TensorName]:
        attn_norm, ffn_norm = decoder.two_norms(h)
        norm = TensorName("state_norm", "mamba.norm.weight", "ssm_norm.weight", 1, mamba2.inner(h))
        mamba = [*mamba2.tensors(h, "o"), replace(norm, gguf_dims=(norm.inputs, 1))]
        mixer = decoder.attention(h, permuted=True) if i in h.attention else mamba
        return [attn_norm, *mixer, ffn_norm, *_feed_forward(h)]

    def check(self, h: GraniteHybridHyper, where: str) -> None:
        super().check(h, where)
        if h.head_dim != h.dim // h.heads:
            raise UnsupportedError(f"{where}: head_dim is {h.head_dim}; supported: {h.dim // h.heads}")
        if not 0 < len(h.attention) < h.layers:
            raise UnsupportedError(
                f"{where}: {len(h.attention)} of {h.layers} layers are attention; supported: some, or all "
                "with RoPE"
            )
        mamba2.check(h, where)
        if h.ffn_dim % 16:
            raise UnsupportedError(f"{where}: a feed-forward of {h.ffn_dim}; supported: multiples of 16")

    def graph(self, h: GraniteHybridHyper, g: GraphBuilder) -> None:
        x = g.embed("embed", scale=h.embedding_scale)
        table = g.rope_table(decoder.frequencies(h.rope_base, h.rope_dim)) if h.rotates else None
        for i in range(h.layers):
            layer = f"layers.{i}"
            y = g.norm(x, f"{layer}.attn_norm", h.norm_eps)
            if i in h.attention:
                y = attention(h, g, layer, y, table)
            else:
                y = g.norm(mamba2.mixed(h, g, layer, y), f"{layer}.state_norm", h.norm_eps)
            x = g.add(x, g.matmul(y, f"{layer}.o"), h.residual_scale)
            y = g.matmul(g.norm(x, f"{layer}.ffn_norm", h.norm_eps), f"{layer}.gate_up")
            gate, up = g.slice(y, 0, h.ffn_dim), g.slice(y, h.ffn_dim, h.ffn_dim)
            x = g.add(x, g.matmul(g.gated(gate, up), f"{layer}.down"), h.residual_scale)
        x = g.norm(x, "final_norm", h.norm_eps)
        g.logits(x, h.head, scale=1 / h.logit_scale)


def attention(h: GraniteHybridHyper, g: GraphBuilder, layer: str, y: Value, table: Value | None) -> Value:
    """The heads' outputs before the layer's last projection."""
    q, k, v = g.matmuls(y, f"{layer}.q", f"{layer}.k", f"{layer}.v")
    if table is not None:
        q, k = g.rope(q, table, h.heads), g.rope(k, table, h.kv_heads)
    cache = g.cache(h.kv_heads, h.head_dim)
    g.kv_append(cache, k, v)
    return g.attention(cache, q, h.heads, h.attention_scale)


def _feed_forward(h: Hyper) -> list[TensorName]:
    """A folder stores gate and up as one tensor, GGUF as two."""
    both = TensorName("gate_up", "shared_mlp.input_linear.weight", "ffn_gate.weight", 2 * h.ffn_dim, h.dim)
    return [
        replace(both, gguf_more=("ffn_up.weight",)),
        TensorName("down", "shared_mlp.output_linear.weight", "ffn_down.weight", h.dim, h.ffn_dim),
    ]


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
