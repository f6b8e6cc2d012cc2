"""The lfm2 family: most layers are a short convolution between two gates, the others attention with norms of
query and key heads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from tinsmith.errors import UnsupportedError
from tinsmith.formats.weights import to_float32
from tinsmith.graph import GraphBuilder, Value
from tinsmith.models import decoder
from tinsmith.models.decoder import Key, kv_heads_by_layer, layer_types
from tinsmith.models.family import Family, Fields, TensorName
from tinsmith.spec import Hyper


@dataclass(frozen=True)
class Lfm2Hyper(Hyper):
    """attention: indices of the attention layers; the others convolve `taps` tokens."""

    attention: tuple[int, ...]
    taps: int


class Lfm2(Family):
    name = "lfm2"
    hf_architectures = ("Lfm2ForCausalLM",)
    text_models: ClassVar[tuple[str, ...]] = ("lfm2",)
    hyper: ClassVar[type[Hyper]] = Lfm2Hyper
    defaults = {
        "block_auto_adjust_ff_dim": True,
        "block_ffn_dim_multiplier": 1.0,
        "block_multiple_of": 256,
        "conv_L_cache": 3,
        "norm_eps": 1e-5,
        "num_key_value_heads": 8,
        "max_position_embeddings": 128000,
        "tie_word_embeddings": True,
    }
    only = {"conv_bias": (False,)}
    keys: ClassVar[tuple[Key, ...]] = (Key("taps", "conv_L_cache", "shortconv.l_cache"),)
    head_norms = True

    def hyper_from_hf(self, config: Mapping[str, Any]) -> Hyper:
        older = {"block_ff_dim": "intermediate_size", "tie_embedding": "tie_word_embeddings"}
        named = {key: config[old] for old, key in older.items() if config.get(old) is not None}
        return super().hyper_from_hf({**config, **named})

    def more_from_hf(self, fields: Fields, rope: Fields) -> dict[str, Any]:
        return {
            "attention": _attention_layers(fields),
            "ffn_dim": _ffn_dim(fields),
            "norm_eps": fields.real("norm_eps"),
            "rope_base": rope.real("rope_theta", 1e6),
        }

    def more_to_hf(self, h: Any) -> dict[str, Any]:
        types = ["full_attention" if i in h.attention else "conv" for i in range(h.layers)]
        return {"block_auto_adjust_ff_dim": False, "layer_types": types, "norm_eps": h.norm_eps}

    def hyper_from_gguf(self, meta: Mapping[str, Any], *, tied: bool) -> Hyper:
        return super().hyper_from_gguf({**meta, **kv_heads_by_layer(meta, self.gguf_architecture)}, tied=tied)

    def more_from_gguf(self, fields: Fields, h: dict[str, Any]) -> dict[str, Any]:
        fields.refuse("layers", h["layers"])
        return {"attention": tuple(fields.get("attention_layers"))}

    def more_to_gguf(self, h: Any) -> dict[str, Any]:
        return {
            "attention.head_count_kv": [h.kv_heads if i in h.attention else 0 for i in range(h.layers)],
            "shortconv.l_cache": h.taps,
            "vocab_size": h.vocab,
        }

    def layer(self, h: Any, i: int) -> list[TensorName]:
        return [
            TensorName("attn_norm", "operator_norm.weight", "attn_norm.weight", 1, h.dim),
            *self.mixer(h, i),
            TensorName("ffn_norm", "ffn_norm.weight", "ffn_norm.weight", 1, h.dim),
            *self.feed_forward(h, i),
        ]

    def mixer(self, h: Any, i: int) -> list[TensorName]:
        """The convolution or attention of layer i."""
        return _attention(h) if i in h.attention else convolution_tensors(h)

    def feed_forward(self, h: Any, i: int) -> list[TensorName]:
        matrices = zip(("w1", "w3", "w2"), decoder.feed_forward(h), strict=True)
        return [replace(name, hf=f"feed_forward.{hf}.weight") for hf, name in matrices]

    def final_norm(self, h: Any) -> TensorName:
        return TensorName("final_norm", "model.embedding_norm.weight", "token_embd_norm.weight", 1, h.dim)

    def check(self, h: Any, where: str) -> None:
        super().check(h, where)
        if not h.attention:
            raise UnsupportedError(f"{where}: no layer is attention, which is not supported")
        if h.dim % 16:
            raise UnsupportedError(f"{where}: {h.dim} channels are convolved; supported: multiples of 16")

    def mix(self, h: Any, g: GraphBuilder, i: int, y: Value, table: Any) -> Value:
        return super().mix(h, g, i, y, table) if i in h.attention else convolution(h, g, f"layers.{i}", y)


def convolution(h: Lfm2Hyper, g: GraphBuilder, layer: str, y: Value) -> Value:
    """`in` projects to a gate before the convolution, a gate after it, and its input."""
    parts = g.matmul(y, f"{layer}.in")
    before, after, y = (g.slice(parts, k * h.dim, h.dim) for k in range(3))
    y = g.conv(g.gated(before, y, act="none"), f"{layer}.conv")
    return g.gated(after, y, act="none")


def _attention(h: Hyper) -> list[TensorName]:
    *qkv, o = decoder.attention(h)
    q_norm, k_norm = decoder.head_norms(h)
    return [
        *qkv,
        replace(o, hf="self_attn.out_proj.weight"),
        replace(q_norm, hf="self_attn.q_layernorm.weight"),
        replace(k_norm, hf="self_attn.k_layernorm.weight"),
    ]


def convolution_tensors(h: Lfm2Hyper) -> list[TensorName]:
    conv = TensorName("conv", "conv.conv.weight", "shortconv.conv.weight", h.dim, h.taps)
    return [
        TensorName("in", "conv.in_proj.weight", "shortconv.in_proj.weight", 3 * h.dim, h.dim),
        replace(conv, hf_shape=(h.dim, 1, h.taps), from_hf=to_float32),
        TensorName("o", "conv.out_proj.weight", "shortconv.out_proj.weight", h.dim, h.dim),
    ]


def _attention_layers(fields: Fields) -> tuple[int, ...]:
    if fields.get("layer_types") is None:
        given, layers = fields.get("full_attn_idxs"), range(fields.count("num_hidden_layers"))
        return tuple(i for i in layers if not isinstance(given, list) or i in given)
    types = layer_types(fields, ("conv", "full_attention"))
    return tuple(i for i, kind in enumerate(types) if kind == "full_attention")


def _ffn_dim(fields: Fields) -> int:
    """intermediate_size, or two thirds of it times a factor, rounded up."""
    size = fields.count("intermediate_size")
    if not fields.get("block_auto_adjust_ff_dim"):
        return size
    size = 2 * size // 3
    if fields.get("block_ffn_dim_multiplier") is not None:
        size = int(fields.real("block_ffn_dim_multiplier") * size)
        multiple = fields.count("block_multiple_of")
        size = -(-size // multiple) * multiple
    return size


family = Lfm2()
