"""Parts that families share: keys of hyper-parameters, tensor names, blocks of the forward pass, RoPE."""

from __future__ import annotations

import reprlib
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from tinsmith import layouts
from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.fields import METADATA, Fields, shortest_float32
from tinsmith.graph import GraphBuilder, Value
from tinsmith.spec import Hyper, Tensor
from tinsmith.tensor_names import TensorName

CONFIG = "config.json"
MOST_LAYERS = 1024  # bounds the memory for names before the file's tensors are checked


class Key(NamedTuple):
    """A field of the hyper-parameters and its keys in config.json and in GGUF (without the architecture's
    prefix). read: the method of Fields for its type. default: for a file without the key."""

    field: str
    hf: str
    gguf: str
    read: str = "count"
    default: Any = None


COUNTS = (
    Key("layers", "num_hidden_layers", "block_count"),
    Key("context", "max_position_embeddings", "context_length"),
    Key("dim", "hidden_size", "embedding_length"),
    Key("ffn_dim", "intermediate_size", "feed_forward_length"),
    Key("heads", "num_attention_heads", "attention.head_count"),
)


def from_hf(fields: Fields, keys: Iterable[Key]) -> dict[str, Any]:
    return {key.field: _read(fields, key.hf, key) for key in keys}


def to_hf(h: Hyper, keys: Iterable[Key]) -> dict[str, Any]:
    return {key.hf: getattr(h, key.field) for key in keys}


def from_gguf(fields: Fields, keys: Iterable[Key]) -> dict[str, Any]:
    values = {key.field: _read(fields, key.gguf, key) for key in keys}
    return {
        field: shortest_float32(value) if isinstance(value, float) else value for field, value in values.items()
    }


def to_gguf(h: Hyper, keys: Iterable[Key]) -> dict[str, Any]:
    return {key.gguf: getattr(h, key.field) for key in keys}


def _read(fields: Fields, name: str, key: Key) -> Any:
    read = getattr(fields, key.read)
    return read(name) if key.default is None else read(name, key.default)


def in_row_order(name: TensorName, order: Sequence[int]) -> TensorName:
    """The tensor, whose row i is row order[i] in a folder."""
    back = layouts.inverse(order)
    return replace(
        name,
        from_hf=lambda tensor: layouts.rows_in_order(tensor, order),
        to_hf=lambda tensor: layouts.rows_in_order(tensor, back),
    )


def attention(h: Hyper, *, permuted: bool = False) -> list[TensorName]:
    """The four projections; permuted: GGUF stores the rows of q and k in the order of interleaved RoPE."""
    queries, keys = h.heads * h.head_dim, h.kv_heads * h.head_dim
    q, k = (h.heads, h.kv_heads) if permuted else (None, None)
    return [
        TensorName("q", "self_attn.q_proj.weight", "attn_q.weight", queries, h.dim, q),
        TensorName("k", "self_attn.k_proj.weight", "attn_k.weight", keys, h.dim, k),
        TensorName("v", "self_attn.v_proj.weight", "attn_v.weight", keys, h.dim),
        TensorName("o", "self_attn.o_proj.weight", "attn_output.weight", h.dim, queries),
    ]


def feed_forward(h: Hyper) -> list[TensorName]:
    return [
        TensorName("gate", "mlp.gate_proj.weight", "ffn_gate.weight", h.ffn_dim, h.dim),
        TensorName("up", "mlp.up_proj.weight", "ffn_up.weight", h.ffn_dim, h.dim),
        TensorName("down", "mlp.down_proj.weight", "ffn_down.weight", h.dim, h.ffn_dim),
    ]


def two_norms(h: Hyper) -> list[TensorName]:
    """The norms before attention and before the feed-forward."""
    return [
        TensorName("attn_norm", "input_layernorm.weight", "attn_norm.weight", 1, h.dim),
        TensorName("ffn_norm", "post_attention_layernorm.weight", "ffn_norm.weight", 1, h.dim),
    ]


def head_norms(h: Hyper) -> list[TensorName]:
    """The norms of query heads and of key heads."""
    return [
        TensorName("q_norm", "self_attn.q_norm.weight", "attn_q_norm.weight", 1, h.head_dim),
        TensorName("k_norm", "self_attn.k_norm.weight", "attn_k_norm.weight", 1, h.head_dim),
    ]


def heads(h: Hyper, g: GraphBuilder, layer: str, y: Value, *, normed: bool = False) -> tuple[Value, ...]:
    """Queries, keys and values; normed: with norms of query and key heads."""
    q, k, v = g.matmuls(y, f"{layer}.q", f"{layer}.k", f"{layer}.v")
    if normed:
        q = g.norm(q, f"{layer}.q_norm", h.norm_eps, heads=h.heads)
        k = g.norm(k, f"{layer}.k_norm", h.norm_eps, heads=h.kv_heads)
    return q, k, v


def attend(
    h: Hyper,
    g: GraphBuilder,
    q: Value,
    k: Value,
    v: Value,
    table: Value | None,
    *,
    scale: float | None = None,
    window: int = 0,
    cap: float = 0.0,
    images: bool = False,
) -> Value:
    """Rotates queries and keys by the table, if any, and attends to a new cache; scale: 1 / √head_dim without
    one."""
    cache = g.cache(h.kv_heads, h.head_dim, window)
    g.kv_append(cache, k if table is None else g.rope(k, table, h.kv_heads), v)
    q = q if table is None else g.rope(q, table, h.heads)
    return g.attention(cache, q, h.heads, scale or h.head_dim**-0.5, cap, images=images)


def fused_gate_and_up(h: Hyper, g: GraphBuilder, layer: str, y: Value) -> tuple[Value, ...]:
    """The feed-forward's two first projections by one matrix, [gate; up]."""
    y = g.matmul(y, f"{layer}.gate_up")
    return g.slice(y, 0, h.ffn_dim), g.slice(y, h.ffn_dim, h.ffn_dim)


def vector(values: Sequence[float]) -> Tensor:
    return Tensor("F32", 1, len(values), struct.pack(f"<{len(values)}f", *values))


def frequencies(base: float, dim: int, factors: Sequence[float] | float = 1.0) -> list[float]:
    """Radians per position of each rotated pair. factors: divisors, one for all pairs or one for each."""
    divisors = [factors] * (dim // 2) if isinstance(factors, (int, float)) else factors
    return [base ** (-2 * i / dim) / divisor for i, divisor in zip(range(dim // 2), divisors, strict=True)]


def rope_settings(config: Mapping[str, Any], *kinds: str) -> dict[str, Any]:
    """The RoPE settings as one table: newer configs state them in `rope_parameters`, older ones beside
    `rope_scaling`. UnsupportedError for a type other than `kinds`."""
    settings: dict[str, Any] = {"rope_theta": config.get("rope_theta"), "rope_type": "default"}
    for key in ("rope_scaling", "rope_parameters"):
        given = config.get(key)
        if given is None:
            continue
        if not isinstance(given, Mapping):
            raise FormatError(f"{CONFIG}: {key} is {reprlib.repr(given)}; it must be a table or null")
        kind = given.get("rope_type", given.get("type", "default"))
        if kind not in kinds:
            known = ", ".join(repr(one) for one in kinds)
            raise UnsupportedError(f"{CONFIG}: {key} is of type {reprlib.repr(kind)}; supported: {known}")
        settings |= {**given, "rope_type": kind}
    settings.setdefault("partial_rotary_factor", config.get("partial_rotary_factor"))
    return settings


def rotated(rope: Fields, head_dim: int) -> int:
    """Number of values of a head that are rotated."""
    share = rope.real("partial_rotary_factor", 1.0)
    if share > 1:
        raise FormatError(f"{rope.where}: partial_rotary_factor is {share}; it must be at most 1")
    return int(head_dim * share)


def kv_heads_by_layer(meta: Mapping[str, Any], architecture: str) -> dict[str, Any]:
    """Metadata that list the key-value heads of each layer, 0 for a layer without attention, as one number;
    also `layers`, their count, and `attention_layers`, the indices of those with attention."""
    key = f"{architecture}.attention.head_count_kv"
    given = meta.get(key)
    heads: list[int] = given if isinstance(given, list) else []
    if not all(type(one) is int and 0 <= one < 1 << 31 for one in heads) or len({0, *heads}) != 2:
        raise FormatError(
            f"{METADATA}: {key} is {reprlib.repr(given)}; it must be a list of whole "
            "numbers, 0 for a layer without attention and the same for all others"
        )
    layers = [i for i, count in enumerate(heads) if count]
    return {key: max(heads), f"{architecture}.layers": len(heads), f"{architecture}.attention_layers": layers}


def window_pattern(fields: Fields, layers: int) -> tuple[bool, ...]:
    key = "attention.sliding_window_pattern"
    return tuple(map(bool, fields.items(key, "booleans", lambda one: one in (0, 1), layers)))


def layer_types(fields: Fields, known: Sequence[str]) -> list[str]:
    """A config's type of each layer, one of `known`."""
    layers, what = fields.count("num_hidden_layers"), f"of {', '.join(known)}"
    return fields.items("layer_types", what, lambda one: one in known, layers)
