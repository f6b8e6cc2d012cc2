"""The gemma4 family, text only: gemma3 with wider heads in layers without a window, a norm of values, last
layers that reuse keys and values of earlier ones, per-layer token embeddings, and a scale of each layer's
output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.fields import METADATA, is_whole
from tinsmith.graph import GraphBuilder, Value
from tinsmith.models import decoder, two_rotations
from tinsmith.models.decoder import layer_types, window_pattern
from tinsmith.models.family import Fields, TensorName, shortest_float32
from tinsmith.models.gemma2 import plain_norms
from tinsmith.models.two_rotations import SLIDING, TYPES, TwoRotations
from tinsmith.spec import Hyper

_REUSED = "self_attn.(k_proj|v_proj|k_norm).weight", "attn_(k|v|k_norm).weight"
_NOTE = "unused keys and values of layers that reuse an earlier layer's are left out"


@dataclass(frozen=True)
class Gemma4Hyper(Hyper):
    """windowed: the layers that attend to the latest `window` positions, with kv_heads heads of head_dim values
    and RoPE base local_base. The others have wide_kv_heads heads of wide_head_dim values, of which rope_base
    rotates the first wide_rope_dim; keys_as_values: they use keys before norm and RoPE as values. reusing:
    number of last layers that reuse keys and values of the last earlier layer of their kind; double_ffn: their
    feed-forward is twice as wide. layer_dim: width of a per-layer token embedding, 0 for none. logit_cap: c in
    c * tanh(x / c), 0 for none."""

    window: int
    windowed: tuple[bool, ...]
    local_base: float
    wide_head_dim: int
    wide_kv_heads: int
    wide_rope_dim: int
    keys_as_values: bool
    reusing: int
    double_ffn: bool
    layer_dim: int
    logit_cap: float

    def own(self, layer: int) -> bool:
        """Whether a layer computes keys and values."""
        return layer < self.layers - self.reusing

    def at(self, layer: int) -> Gemma4Hyper:
        """The hyper-parameters with a layer's sizes."""
        sizes: dict[str, int] = {"ffn_dim": self.ffn_dim * (1 + (self.double_ffn and not self.own(layer)))}
        if not self.windowed[layer]:
            sizes |= {"head_dim": self.wide_head_dim, "kv_heads": self.wide_kv_heads}
        return replace(self, **sizes)  # type: ignore[arg-type]


class Gemma4(TwoRotations):
    name = "gemma4"
    model_type = "gemma4_text"
    hf_architectures = ("Gemma4ForCausalLM", "Gemma4ForConditionalGeneration")
    text_models = ("gemma4_text",)
    hyper = Gemma4Hyper
    defaults = {
        "head_dim": 256,
        "hidden_size_per_layer_input": 256,
        "max_position_embeddings": 131072,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "sliding_window": 512,
        "tie_word_embeddings": True,
        "vocab_size": 262144,
    }
    only = {
        "hidden_activation": ("gelu_pytorch_tanh",),
        "attention_bias": (False,),
        "enable_moe_block": (False,),
        "use_bidirectional_attention": (None, "vision"),  # "vision": within images only
    }
    share = 0.25
    act = "gelu"
    post_norms = True

    def more_from_hf(self, fields: Fields, rope: Fields) -> dict[str, Any]:
        layers, windowed = fields.count("num_hidden_layers"), windowed_layers(fields)
        wide = Fields({**fields.values, **overridden(fields, windowed)}, fields.where)
        head_dim, kv_heads = wide.count("global_head_dim", 512), fields.count("num_key_value_heads")
        keys_as_values = bool(fields.get("attention_k_eq_v"))
        if keys_as_values:
            kv_heads = wide.count("num_global_key_value_heads", kv_heads)
        layer_dim = fields.count_or_0("hidden_size_per_layer_input")
        if layer_dim:
            fields.refuse("vocab_size_per_layer_input", fields.count("vocab_size"))
        return {
            "window": fields.count("sliding_window"),
            "windowed": windowed,
            "local_base": rope.real("local_theta", 1e4),
            "wide_head_dim": head_dim,
            "wide_kv_heads": kv_heads,
            "wide_rope_dim": two_rotations.turning_from_hf(rope, head_dim),
            "keys_as_values": keys_as_values,
            "reusing": reusing_layers(fields, "num_kv_shared_layers", layers),
            "double_ffn": bool(fields.get("use_double_wide_mlp")),
            "layer_dim": layer_dim,
            "logit_cap": fields.real_or_0("final_logit_softcapping"),
        }

    def more_to_hf(self, h: Gemma4Hyper) -> dict[str, Any]:
        return {
            "attention_k_eq_v": h.keys_as_values,
            "final_logit_softcapping": h.logit_cap or None,
            "global_head_dim": h.wide_head_dim,
            "hidden_size_per_layer_input": h.layer_dim,
            "layer_types": [TYPES[windowed] for windowed in h.windowed],
            "num_global_key_value_heads": h.wide_kv_heads if h.keys_as_values else None,
            "num_kv_shared_layers": h.reusing,
            "rope_parameters": two_rotations.to_hf(h.rope_base, h.local_base, h.wide_rope_dim, h.wide_head_dim),
            "sliding_window": h.window,
            "use_double_wide_mlp": h.double_ffn,
            "vocab_size_per_layer_input": h.vocab,
        }

    def hyper_from_gguf(self, meta: Mapping[str, Any], *, tied: bool) -> Hyper:
        """GGUF's common keys state the sizes of wide heads, or a list if layers differ."""
        prefix = f"{self.gguf_architecture}."
        fields = Fields(meta, METADATA, prefix)
        near, wide = fields.count("attention.key_length_swa"), fields.count("attention.key_length")
        for suffix, width in (("_swa", near), ("", wide)):
            fields.refuse(f"attention.value_length{suffix}", width)
            fields.refuse(f"rope.dimension_count{suffix}", width)
        kv_heads, wide_kv_heads = kv_heads_of(fields)
        ffn = first_of(fields, "feed_forward_length")
        usual = {
            "attention.key_length": near,
            "attention.value_length": near,
            "rope.dimension_count": near,
            "attention.head_count_kv": kv_heads,
            "feed_forward_length": ffn,
            "wide_head_dim": wide,
            "wide_kv_heads": wide_kv_heads,
            "feed_forward_lengths": fields.get("feed_forward_length"),
        }
        usual = {prefix + key: one for key, one in usual.items()}
        h = super().hyper_from_gguf({**meta, **usual}, tied=tied)
        assert isinstance(h, Gemma4Hyper)
        check_gguf(h)
        return h

    def more_from_gguf(self, fields: Fields, h: dict[str, Any]) -> dict[str, Any]:
        reusing = reusing_layers(fields, "attention.shared_kv_layers", h["layers"])
        wide, wide_kv_heads = fields.get("wide_head_dim"), fields.get("wide_kv_heads")
        return {
            "window": fields.count("attention.sliding_window"),
            "windowed": window_pattern(fields, h["layers"]),
            "local_base": shortest_float32(fields.real("rope.freq_base_swa", 1e4)),
            "wide_head_dim": wide,
            "wide_kv_heads": wide_kv_heads or h["kv_heads"],
            "wide_rope_dim": two_rotations.turning_from_gguf(fields, wide),
            "keys_as_values": wide_kv_heads is not None,
            "reusing": reusing,
            "double_ffn": doubled(fields, h["ffn_dim"], h["layers"], reusing),
            "layer_dim": fields.count_or_0("embedding_length_per_layer_input"),
            "logit_cap": shortest_float32(fields.real_or_0("final_logit_softcapping")),
        }

    def more_to_gguf(self, h: Gemma4Hyper) -> dict[str, Any]:
        check_gguf(h)
        own: dict[str, Any] = {
            "attention.key_length": h.wide_head_dim,
            "attention.key_length_swa": h.head_dim,
            "attention.shared_kv_layers": h.reusing,
            "attention.sliding_window": h.window,
            "attention.sliding_window_pattern": list(h.windowed),
            "attention.value_length": h.wide_head_dim,
            "attention.value_length_swa": h.head_dim,
            "embedding_length_per_layer_input": h.layer_dim,
            "rope.dimension_count": h.wide_head_dim,
            "rope.dimension_count_swa": h.head_dim,
            "rope.freq_base_swa": h.local_base,
        }
        if h.double_ffn:
            own["feed_forward_length"] = [h.at(i).ffn_dim for i in range(h.layers)]
        if h.keys_as_values:
            own["attention.head_count_kv"] = [h.at(i).kv_heads for i in range(h.layers)]
        if h.logit_cap:
            own["final_logit_softcapping"] = h.logit_cap
        return own

    def turning(self, h: Gemma4Hyper) -> tuple[int, int]:
        return h.wide_rope_dim, h.wide_head_dim

    def tensors(self, h: Gemma4Hyper) -> list[TensorName]:
        return super().tensors(h) + (_before_layers(h) if h.layer_dim else [])

    def layer(self, h: Gemma4Hyper, i: int) -> list[TensorName]:
        sizes = h.at(i)
        heads = [*decoder.attention(sizes), *decoder.head_norms(sizes)]
        if not h.own(i):
            heads = [name for name in heads if name.role in ("q", "o", "q_norm")]
        elif h.keys_as_values and not h.windowed[i]:
            heads = [name for name in heads if name.role != "v"]
        return [
            *plain_norms(h),
            *heads,
            *self.feed_forward(sizes, i),
            *(_of_layer(h) if h.layer_dim else []),
            TensorName("scale", "layer_scalar", "layer_output_scale.weight", 1, 1),
        ]

    def ignored_in_folder(self, h: Gemma4Hyper) -> tuple[tuple[str, str], ...]:
        return _ignored(h, r"model\.layers\.", _REUSED[0])

    def ignored_in_gguf(self, h: Gemma4Hyper) -> tuple[tuple[str, str], ...]:
        return _ignored(h, r"blk\.", _REUSED[1])

    def check(self, h: Gemma4Hyper, where: str) -> None:
        super().check(h, where)
        if len(h.windowed) != h.layers or h.windowed[-1]:
            raise UnsupportedError(
                f"{where}: layer_types must have one type per layer, full_attention for the last; it has "
                f"{len(h.windowed)} for {h.layers} layers"
            )
        if h.heads % h.wide_kv_heads or h.wide_rope_dim % 2 or h.wide_rope_dim > h.wide_head_dim:
            raise FormatError(
                f"{where}: {h.heads} heads of {h.wide_head_dim} values, {h.wide_rope_dim} of them rotated, do "
                f"not fit {h.wide_kv_heads} key-value heads"
            )
        before = h.windowed[: h.layers - h.reusing]
        if not set(h.windowed[len(before) :]) <= set(before):
            raise UnsupportedError(
                f"{where}: the last {h.reusing} layers reuse earlier keys and values (num_kv_shared_layers), "
                "but layer_types has no earlier layer of each of their types"
            )

    def graph(self, h: Gemma4Hyper, g: GraphBuilder) -> None:
        x = g.embed("embed", scale=h.dim**0.5)
        embedded = _layer_embeddings(h, g, x) if h.layer_dim else None
        ones = {width: g.constant(f"ones.{width}", [1.0] * width) for width in {h.head_dim, h.wide_head_dim}}
        tables = self.rope_table(h, g)
        caches: dict[bool, int] = {}  # the last one of each type
        for i in range(h.layers):
            layer, windowed, sizes = f"layers.{i}", h.windowed[i], h.at(i)
            y = g.norm(x, f"{layer}.attn_norm", h.norm_eps)
            if h.own(i):
                same = h.keys_as_values and not windowed
                q, k, *rest = g.matmuls(y, *(f"{layer}.{part}" for part in ("q", "k", "v")[: 2 if same else 3]))
                v = g.norm(k if same else rest[0], ones[sizes.head_dim], h.norm_eps, heads=sizes.kv_heads)
                k = g.norm(k, f"{layer}.k_norm", h.norm_eps, heads=sizes.kv_heads)
                caches[windowed] = g.cache(sizes.kv_heads, sizes.head_dim, h.window if windowed else 0)
                g.kv_append(caches[windowed], g.rope(k, tables[windowed], sizes.kv_heads), v)
            else:
                q = g.matmul(y, f"{layer}.q")
            q = g.rope(g.norm(q, f"{layer}.q_norm", h.norm_eps, heads=h.heads), tables[windowed], h.heads)
            x = self.add(h, g, f"{layer}.o", g.attention(caches[windowed], q, h.heads, 1.0), x)
            x = self.feed(h, g, layer, x)
            if embedded is not None:
                part = g.slice(embedded, i * h.layer_dim, h.layer_dim)
                y = g.gated(g.matmul(x, f"{layer}.layer_gate"), part, act="gelu")
                y = g.matmul(y, f"{layer}.layer_out")
                x = g.norm(y, f"{layer}.layer_norm", h.norm_eps, residual=x)
            x = g.scaled(x, f"{layer}.scale")
        g.logits(g.norm(x, "final_norm", h.norm_eps), h.head, cap=h.logit_cap)


def _layer_embeddings(h: Gemma4Hyper, g: GraphBuilder, x: Value) -> Value:
    """The token's embeddings for all layers: (norm(p / √dim) + √layer_dim e) / √2, where p projects the token's
    embedding and e is its row of the per-layer table. norm(p / √dim) equals norm(p) with dim times the
    epsilon."""
    projected = g.norm(g.matmul(x, "layer_in"), "layer_in_norm", h.norm_eps * h.dim, heads=h.layers)
    return g.add(g.embed("layer_embed", scale=(h.layer_dim / 2) ** 0.5), projected, 0.5**0.5)


def _before_layers(h: Gemma4Hyper) -> list[TensorName]:
    width = h.layers * h.layer_dim
    names = (
        ("layer_embed", "embed_tokens_per_layer", "per_layer_token_embd", h.vocab, width),
        ("layer_in", "per_layer_model_projection", "per_layer_model_proj", width, h.dim),
        ("layer_in_norm", "per_layer_projection_norm", "per_layer_proj_norm", 1, h.layer_dim),
    )
    return [
        TensorName(role, f"model.{hf}.weight", f"{gguf}.weight", rows, inputs)
        for role, hf, gguf, rows, inputs in names
    ]


def _of_layer(h: Gemma4Hyper) -> list[TensorName]:
    return [
        TensorName("layer_gate", "per_layer_input_gate.weight", "inp_gate.weight", h.layer_dim, h.dim),
        TensorName("layer_out", "per_layer_projection.weight", "proj.weight", h.dim, h.layer_dim),
        TensorName("layer_norm", "post_per_layer_input_norm.weight", "post_norm.weight", 1, h.dim),
    ]


def _ignored(h: Gemma4Hyper, before: str, names: str) -> tuple[tuple[str, str], ...]:
    layers = "|".join(str(i) for i in range(h.layers - h.reusing, h.layers))
    return ((rf"{before}({layers})\.{names}", _NOTE),) if h.reusing else ()


def windowed_layers(fields: Fields) -> tuple[bool, ...]:
    if fields.get("layer_types") is None:
        return tuple((i + 1) % 6 != 0 for i in range(fields.count("num_hidden_layers")))
    return tuple(kind == SLIDING for kind in layer_types(fields, TYPES))


def overridden(fields: Fields, windowed: tuple[bool, ...]) -> dict[str, Any]:
    """Sizes of wide heads from per_layer_config of newer transformers, by the keys of older ones."""
    given = fields.get("per_layer_config")
    if given is None:
        return {}
    wide = [str(i) for i, narrow in enumerate(windowed) if not narrow]
    tables = [given.get(i) for i in wide] if isinstance(given, Mapping) else []
    names = {"head_dim": "global_head_dim", "num_key_value_heads": "num_global_key_value_heads"}
    first = tables[0] if tables else None
    same = isinstance(first, Mapping) and all(one == first for one in tables) and len(given) == len(wide)
    if not isinstance(first, Mapping) or not same or set(first) - set(names):
        raise UnsupportedError(
            f"{fields.named('per_layer_config')}; supported: head_dim and num_key_value_heads, alike in each "
            "layer of full_attention"
        )
    return {names[key]: one for key, one in first.items()}


def reusing_layers(fields: Fields, key: str, layers: int) -> int:
    reusing = fields.count_or_0(key)
    if reusing >= layers:
        raise FormatError(f"{fields.named(key)}; at most {layers - 1} of {layers} layers can reuse keys")
    return reusing


def first_of(fields: Fields, key: str) -> Any:
    given = fields.get(key)
    return given[0] if isinstance(given, list) and given else given


def kv_heads_of(fields: Fields) -> tuple[Any, int | None]:
    """Key-value heads of layers with a window, and of the others if the file lists one number per layer; their
    keys then are their values."""
    key = "attention.head_count_kv"
    given = fields.get(key)
    if not isinstance(given, list):
        return given, None
    windowed = window_pattern(fields, len(given))
    counts = fields.items(key, "whole numbers", lambda one: is_whole(one) and 0 < one < 1 << 31)
    kinds = dict(zip(windowed, counts, strict=True))
    if len(kinds) != 2 or counts != [kinds[narrow] for narrow in windowed]:
        raise UnsupportedError(f"{fields.named(key)}; supported: one number with a window, and one without")
    return kinds[True], kinds[False]


def check_gguf(h: Gemma4Hyper) -> None:
    """GGUF readers assume that of the last two layers before the reusing ones, the first has a window and the
    second has none."""
    before, reusing = h.windowed[: h.layers - h.reusing], h.windowed[h.layers - h.reusing :]
    if (False in reusing and before[-1]) or (True in reusing and not before[-2:][0]):
        raise UnsupportedError(
            f"gemma4: the last {h.reusing} layers reuse keys and values; GGUF needs a layer with a window, "
            "then one without, before them"
        )


def doubled(fields: Fields, ffn: int, layers: int, reusing: int) -> bool:
    given = fields.get("feed_forward_lengths")
    if not isinstance(given, list) or given == [ffn] * layers:
        return False
    if given != [ffn] * (layers - reusing) + [2 * ffn] * reusing:
        raise UnsupportedError(
            f"{fields.named('feed_forward_length')}; supported: one width, doubled in layers that reuse keys "
            "and values"
        )
    return True


family = Gemma4()
