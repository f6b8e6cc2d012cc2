"""Shared base of the decoder families: common hyper-parameters, tensor names and blocks of the forward pass.

A family's module adds its further hyper-parameters, the values that it refuses, the tensors of a layer, and
the forward pass.
"""

from __future__ import annotations

import reprlib
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

from tinsmith import layouts
from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.graph import GraphBuilder, Value
from tinsmith.models.family import Family, Fields, TensorName, shortest_float32
from tinsmith.spec import Hyper, Tensor

CONFIG, METADATA = "config.json", "GGUF metadata"
MOST_LAYERS = 1024  # bounds the memory for names before the file's tensors are checked


class Key(NamedTuple):
    """A field of the hyper-parameters and its keys in config.json and in GGUF (without the architecture's
    prefix); read: the method of Fields for its type; default: for a GGUF file without the key."""

    field: str
    hf: str
    gguf: str
    read: str = "count"
    default: Any = None


_COUNTS = (
    Key("layers", "num_hidden_layers", "block_count"),
    Key("context", "max_position_embeddings", "context_length"),
    Key("dim", "hidden_size", "embedding_length"),
    Key("ffn_dim", "intermediate_size", "feed_forward_length"),
    Key("heads", "num_attention_heads", "attention.head_count"),
)


def from_hf(fields: Fields, keys: Iterable[Key]) -> dict[str, Any]:
    return {key.field: getattr(fields, key.read)(key.hf) for key in keys}


def to_hf(h: Hyper, keys: Iterable[Key]) -> dict[str, Any]:
    return {key.hf: getattr(h, key.field) for key in keys}


def from_gguf(fields: Fields, keys: Iterable[Key]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key in keys:
        read = getattr(fields, key.read)
        value = read(key.gguf) if key.default is None else read(key.gguf, key.default)
        values[key.field] = shortest_float32(value) if isinstance(value, float) else value
    return values


def to_gguf(h: Hyper, keys: Iterable[Key]) -> dict[str, Any]:
    return {key.gguf: getattr(h, key.field) for key in keys}


class Decoder(Family):
    """model_type: the family in transformers. hyper: the class of its hyper-parameters. defaults: transformers'
    defaults for keys missing from a config. only, only_gguf: supported values of keys in a config and in GGUF
    metadata. keeps_head_dim: GGUF always states the head width. mixture: the family has experts."""

    model_type: ClassVar[str]
    hyper: ClassVar[type[Hyper]] = Hyper
    defaults: ClassVar[Mapping[str, Any]] = {}
    only: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "hidden_act": ("silu", "swish"),
        "attention_bias": (False,),
    }
    only_gguf: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "rope.scaling.type": ("none",),
        "rope.scale_linear": (1.0,),
        "rope.scaling.factor": (1.0,),
        "rope.scaling.attn_factor": (1.0,),
        "attention.sliding_window": (0,),
    }
    keeps_head_dim: ClassVar[bool] = False
    mixture: ClassVar[bool] = False

    def layer(self, h: Any) -> list[TensorName]:
        """The tensors of any layer, named without the layer's prefix, if all layers are alike."""
        return [*two_norms(h), *attention(h, permuted=True), *feed_forward(h)]

    def layer_at(self, h: Any, i: int) -> list[TensorName]:
        """The tensors of layer i; overridden by families whose layers differ."""
        return self.layer(h)

    def more_from_hf(self, fields: Fields, rope: Fields) -> dict[str, Any]:
        """The family's further fields, or overrides of common ones, from a config and its RoPE settings."""
        return {}

    def more_to_hf(self, h: Any) -> dict[str, Any]:
        """The family's further keys of config.json, or overrides of common ones."""
        return {}

    def more_from_gguf(self, fields: Fields, h: dict[str, Any]) -> dict[str, Any]:
        """As more_from_hf, from GGUF metadata. h: the common fields."""
        return {}

    def more_to_gguf(self, h: Any) -> dict[str, Any]:
        """Further GGUF metadata, keys without the architecture's prefix."""
        return {}

    def rope_from_hf(self, config: Mapping[str, Any]) -> Fields:
        return Fields(rope_settings(config, "default"), CONFIG)

    def hyper_from_hf(self, config: Mapping[str, Any]) -> Hyper:
        config = {**self.defaults, **config}
        fields = Fields(config, CONFIG)
        for key, allowed in self.only.items():
            fields.refuse(key, *allowed)
        fields.refuse("is_causal", True)
        fields.count("num_hidden_layers", most=MOST_LAYERS)
        known = from_hf(fields, _COUNTS)
        known["head_dim"] = fields.count("head_dim", max(known["dim"] // known["heads"], 1))
        rope = self.rope_from_hf(config)
        known |= {
            "kv_heads": fields.count("num_key_value_heads", known["heads"]),
            "vocab": fields.count("vocab_size"),
            "norm_eps": fields.real("rms_norm_eps", 1e-6),
            "rope_base": rope.real("rope_theta", 10000.0),
            "rope_dim": rotated(rope, known["head_dim"]),
            "tied": bool(config.get("tie_word_embeddings", False)),
        }
        return self._checked(self.hyper(**(known | self.more_from_hf(fields, rope))), CONFIG)

    def hyper_to_hf(self, h: Any) -> dict[str, Any]:
        common = to_hf(h, _COUNTS) | {key: allowed[0] for key, allowed in self.only.items()}
        common |= {
            "architectures": [self.hf_architectures[0]],
            "attention_dropout": 0.0,
            "head_dim": h.head_dim,
            "initializer_range": 0.02,
            "model_type": self.model_type,
            "num_key_value_heads": h.kv_heads,
            "rms_norm_eps": h.norm_eps,
            "rope_scaling": None,
            "rope_theta": h.rope_base,
            "tie_word_embeddings": h.tied,
            "use_cache": True,
            "vocab_size": h.vocab,
        }
        return common | self.more_to_hf(h)

    def hyper_from_gguf(self, meta: Mapping[str, Any], *, tied: bool) -> Hyper:
        fields = Fields(meta, METADATA, f"{self.gguf_architecture}.")
        if not self.mixture:
            fields.refuse("expert_count", 0)
        for key, allowed in self.only_gguf.items():
            fields.refuse(key, *allowed)
        fields.refuse("attention.causal", True)
        fields.count("block_count", most=MOST_LAYERS)
        known = from_gguf(fields, _COUNTS)
        known["head_dim"] = fields.count("attention.key_length", max(known["dim"] // known["heads"], 1))
        fields.refuse("attention.value_length", known["head_dim"])
        known |= {
            "kv_heads": fields.count("attention.head_count_kv", known["heads"]),
            "vocab": fields.count("vocab_size", Fields(meta, METADATA).length("tokenizer.ggml.tokens")),
            "norm_eps": shortest_float32(fields.real("attention.layer_norm_rms_epsilon")),
            "rope_base": shortest_float32(fields.real("rope.freq_base", 10000.0)),
            "rope_dim": fields.count("rope.dimension_count", known["head_dim"]),
            "tied": tied,
        }
        return self._checked(self.hyper(**(known | self.more_from_gguf(fields, known))), METADATA)

    def hyper_from_facts(self, facts: Mapping[str, Any], where: str) -> Hyper:
        known: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in facts.items()
        }
        try:
            return self._checked(self.hyper(**known), where)
        except TypeError as error:
            raise FormatError(f"{where}: hyper-parameters do not fit the family {self.name}: {error}") from None

    def hyper_to_gguf(self, h: Any) -> dict[str, Any]:
        common = to_gguf(h, _COUNTS) | {
            "attention.head_count_kv": h.kv_heads,
            "rope.freq_base": h.rope_base,
            "attention.layer_norm_rms_epsilon": h.norm_eps,
        }
        if self.keeps_head_dim or h.head_dim != h.dim // h.heads:
            common |= {"attention.key_length": h.head_dim, "attention.value_length": h.head_dim}
        common |= self.more_to_gguf(h)
        return {f"{self.gguf_architecture}.{key}": value for key, value in common.items()}

    def tensors(self, h: Any) -> list[TensorName]:
        names = [TensorName("embed", "model.embed_tokens.weight", "token_embd.weight", h.vocab, h.dim)]
        for i in range(h.layers):
            for part in self.layer_at(h, i):
                names.append(
                    replace(
                        part,
                        role=f"layers.{i}.{part.role}",
                        hf=f"model.layers.{i}.{part.hf}",
                        stored=part.stored and f"model.layers.{i}.{part.stored}",
                        gguf=f"blk.{i}.{part.gguf}",
                        gguf_more=tuple(f"blk.{i}.{more}" for more in part.gguf_more),
                    )
                )
        names.append(self.final_norm(h))
        if not h.tied:
            names.append(TensorName("head", "lm_head.weight", "output.weight", h.vocab, h.dim))
        return names

    def graph(self, h: Any, g: GraphBuilder) -> None:
        x = g.embed("embed")
        table = self.rope_table(h, g)
        for i in range(h.layers):
            x = self.block(h, g, i, x, table)
        g.logits(g.norm(x, "final_norm", h.norm_eps), h.head)

    def rope_table(self, h: Any, g: GraphBuilder) -> Value:
        return g.rope_table(frequencies(h.rope_base, h.rope_dim))

    def block(self, h: Any, g: GraphBuilder, i: int, x: Value, table: Value) -> Value:
        """Layer i in the default graph: llama's, unless overridden."""
        layer = f"layers.{i}"
        y = g.norm(x, f"{layer}.attn_norm", h.norm_eps)
        q, k, v = g.matmuls(y, f"{layer}.q", f"{layer}.k", f"{layer}.v")
        x = g.matmul(attend(h, g, q, k, v, table), f"{layer}.o", residual=x)
        return feed(h, g, layer, x)

    def final_norm(self, h: Any) -> TensorName:
        return TensorName("final_norm", "model.norm.weight", "output_norm.weight", 1, h.dim)

    def _checked(self, h: Hyper, where: str) -> Hyper:
        if h.heads % h.kv_heads:
            raise FormatError(
                f"{where}: {h.heads} attention heads can't share {h.kv_heads} key-value heads evenly"
            )
        if h.rope_dim % 2:
            raise FormatError(f"{where}: a head's {h.rope_dim} rotated values are not pairs")
        if h.rope_dim > h.head_dim:
            raise FormatError(f"{where}: a head of {h.head_dim} values has no {h.rope_dim} to rotate")
        self.check(h, where)
        return h

    def check(self, h: Any, where: str) -> None:
        """Checks the family's hyper-parameters; by default, that whole heads are rotated."""
        if h.rope_dim != h.head_dim:
            raise UnsupportedError(
                f"{where}: {h.rope_dim} of a head's {h.head_dim} values are rotated (partial_rotary_factor, "
                "rope.dimension_count), which is not supported; supported: all"
            )


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


def attend(
    h: Hyper,
    g: GraphBuilder,
    q: Value,
    k: Value,
    v: Value,
    table: Value,
    *,
    scale: float | None = None,
    window: int = 0,
    cap: float = 0.0,
    images: bool = False,
) -> Value:
    """Rotates queries and keys, and attends to a new cache; scale: 1 / √head_dim without one."""
    cache = g.cache(h.kv_heads, h.head_dim, window)
    g.kv_append(cache, g.rope(k, table, h.kv_heads), v)
    scale = h.head_dim**-0.5 if scale is None else scale
    return g.attention(cache, g.rope(q, table, h.heads), h.heads, scale, cap, images=images)


def feed(h: Hyper, g: GraphBuilder, layer: str, x: Value) -> Value:
    """x + down(silu(gate) * up), gate and up of the layer's norm of x."""
    y = g.norm(x, f"{layer}.ffn_norm", h.norm_eps)
    gate, up = g.matmuls(y, f"{layer}.gate", f"{layer}.up")
    return g.matmul(g.gated(gate, up), f"{layer}.down", residual=x)


def feed_normed(h: Hyper, g: GraphBuilder, layer: str, x: Value, act: str = "gelu") -> Value:
    """As `feed`, with a norm of the feed-forward's output."""
    y = g.norm(x, f"{layer}.ffn_norm", h.norm_eps)
    gate, up = g.matmuls(y, f"{layer}.gate", f"{layer}.up")
    y = g.matmul(g.gated(gate, up, act=act), f"{layer}.down")
    return g.norm(y, f"{layer}.ffn_post_norm", h.norm_eps, residual=x)


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
            raise UnsupportedError(
                f"{CONFIG}: {key} is of type {reprlib.repr(kind)}, which is not supported; supported: {known}"
            )
        settings |= {**given, "rope_type": kind}
    settings.setdefault("partial_rotary_factor", config.get("partial_rotary_factor"))
    return settings


def rotated(rope: Fields, head_dim: int) -> int:
    """Number of values of a head that are rotated."""
    share = rope.real("partial_rotary_factor", 1.0)
    if share > 1:
        raise FormatError(f"{rope.where}: partial_rotary_factor is {share}; it must be at most 1")
    return int(head_dim * share)
