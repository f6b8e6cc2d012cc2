"""The qwen35 family, text only: three of four layers are linear attention by the gated delta rule behind a
short convolution. The others are attention with norms of query and key heads, RoPE of a quarter of each head,
and an output gate.

Yang et al., "Gated Delta Networks: Improving Mamba2 with Delta Rule", 2024.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from tinsmith import layouts
from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.fields import is_whole
from tinsmith.formats.weights import to_float32
from tinsmith.graph import GraphBuilder, Value
from tinsmith.models import decoder
from tinsmith.models.decoder import Key, layer_types
from tinsmith.models.family import Change, Family, Fields, TensorName
from tinsmith.models.gemma2 import offset
from tinsmith.spec import Hyper

_PERIOD = 4
_SECTIONS = (11, 11, 10)
_L2_EPS = 1e-6
_MTP_LAYERS = "mtp_num_hidden_layers"
_LEFT_OUT = "the multi-token prediction layers are left out"


@dataclass(frozen=True)
class Qwen35Hyper(Hyper):
    """Each period-th layer is attention. The others have key_heads query and key heads and value_heads value
    heads, all of state_dim elements, behind a convolution of `taps` tokens. sections: numbers of rotated pairs
    for time, height and width, which are equal for text. mtp: multi-token prediction layers; a spec has 0 or
    1."""

    period: int
    key_heads: int
    value_heads: int
    state_dim: int
    taps: int
    sections: tuple[int, ...]
    mtp: int = field(default=0, kw_only=True)


class Qwen35(Family):
    name = "qwen35"
    model_type = "qwen3_5_text"
    hf_architectures = ("Qwen3_5ForCausalLM", "Qwen3_5ForConditionalGeneration")
    hyper: ClassVar[type[Hyper]] = Qwen35Hyper
    ignored_hf = ((r"model\.visual\..*", "the vision encoder is left out: text only"),)
    defaults = {
        "head_dim": 256,
        "max_position_embeddings": 32768,
        "num_key_value_heads": 4,
        "linear_conv_kernel_dim": 4,
        "linear_key_head_dim": 128,
        "linear_value_head_dim": 128,
        "linear_num_key_heads": 16,
        "linear_num_value_heads": 32,
        "partial_rotary_factor": 0.25,
    }
    only = {"hidden_act": ("silu",), "attention_bias": (False,), "attn_output_gate": (True,)}
    only_gguf = {"rope.scaling.type": ("none",)}
    keys: ClassVar[tuple[Key, ...]] = (
        Key("taps", "linear_conv_kernel_dim", "ssm.conv_kernel"),
        Key("state_dim", "linear_key_head_dim", "ssm.state_size"),
        Key("key_heads", "linear_num_key_heads", "ssm.group_count"),
        Key("value_heads", "linear_num_value_heads", "ssm.time_step_rank"),
    )
    keeps_head_dim = True

    def more_from_hf(self, fields: Fields, rope: Fields) -> dict[str, Any]:
        fields.refuse("linear_value_head_dim", fields.count("linear_key_head_dim"))
        return {
            "period": _period(fields),
            "sections": sections_of(rope, "mrope_section", 3, _SECTIONS),
            # A layer with separate embeddings is not supported.
            "mtp": 0 if fields.get("mtp_use_dedicated_embeddings") else fields.count_or_0(_MTP_LAYERS),
        }

    def more_to_hf(self, h: Any) -> dict[str, Any]:
        types = ["linear_attention" if recurrent(h, i) else "full_attention" for i in range(h.layers)]
        return {
            **({_MTP_LAYERS: h.mtp} if h.mtp else {}),
            "full_attention_interval": h.period,
            "layer_types": types,
            "linear_value_head_dim": h.state_dim,
            "rope_parameters": {
                **rope_parameters(h.sections, h.rope_base),
                "partial_rotary_factor": h.rope_dim / h.head_dim,
            },
        }

    def more_from_gguf(self, fields: Fields, h: dict[str, Any]) -> dict[str, Any]:
        fields.refuse("ssm.inner_size", fields.count("ssm.state_size") * fields.count("ssm.time_step_rank"))
        mtp = fields.count_or_0("nextn_predict_layers")
        return {
            "layers": h["layers"] - mtp,
            "mtp": mtp,
            "period": fields.count("full_attention_interval", _PERIOD),
            "sections": sections_of(fields, "rope.dimension_sections", 4)[:3],
        }

    def more_to_gguf(self, h: Any) -> dict[str, Any]:
        mtp = {"block_count": h.layers + h.mtp, "nextn_predict_layers": h.mtp} if h.mtp else {}
        return {
            **mtp,
            "rope.dimension_sections": [*h.sections, 0],
            **decoder.to_gguf(h, Qwen35.keys),
            "ssm.inner_size": h.value_heads * h.state_dim,
            "full_attention_interval": h.period,
            "rope.dimension_count": h.rope_dim,
        }

    def ignored_in_folder(self, h: Any) -> tuple[tuple[str, str], ...]:
        left_out = () if self.predicts(h) else ((r"mtp\..*", _LEFT_OUT),)
        return (*self.ignored_hf, *left_out)

    def ignored_in_gguf(self, h: Any) -> tuple[tuple[str, str], ...]:
        own = "|".join(map(str, range(h.layers + self.predicts(h))))
        return ((rf"blk\.(?!({own})\.)\d+\..*", _LEFT_OUT),)

    def with_mtp(self, h: Any, layers: int, where: str) -> Hyper:
        if layers and h.mtp != layers:
            raise UnsupportedError(
                f"{where}: {h.mtp or 'no'} multi-token prediction layers that share the embeddings; supported: "
                "1; leave out mtp"
            )
        changed: Hyper = replace(h, mtp=layers)
        return changed

    def predicts(self, h: Any) -> bool:
        return bool(h.mtp)

    def tensors(self, h: Any) -> list[TensorName]:
        return [*super().tensors(h), *(self.mtp_tensors(h) if h.mtp else ())]

    def mtp_tensors(self, h: Any) -> list[TensorName]:
        """The multi-token prediction layer. GGUF numbers it after the other layers."""
        norms = (
            ("embed_norm", "pre_fc_norm_embedding", "enorm"),
            ("hidden_norm", "pre_fc_norm_hidden", "hnorm"),
            ("norm", "norm", "shared_head_norm"),
        )
        attn_norm, ffn_norm = _two_norms(h)
        layer = [attn_norm, *gated_attention_tensors(h), ffn_norm, *self.feed_forward(h, h.layers)]
        own = [
            *(
                offset(TensorName(role, f"mtp.{hf}.weight", f"nextn.{gguf}.weight", 1, h.dim))
                for role, hf, gguf in norms
            ),
            TensorName("fc", "mtp.fc.weight", "nextn.eh_proj.weight", h.dim, 2 * h.dim),
            *(replace(part, hf=f"mtp.layers.0.{part.hf}") for part in layer),
        ]
        return [replace(part, role=f"mtp.{part.role}", gguf=f"blk.{h.layers}.{part.gguf}") for part in own]

    def layer(self, h: Any, i: int) -> list[TensorName]:
        attn_norm, ffn_norm = _two_norms(h)
        mixer = delta_tensors(h) if recurrent(h, i) else gated_attention_tensors(h)
        return [attn_norm, *mixer, ffn_norm, *self.feed_forward(h, i)]

    def final_norm(self, h: Any) -> TensorName:
        return offset(super().final_norm(h))

    def check(self, h: Any, where: str) -> None:
        if h.value_heads % h.key_heads:
            raise FormatError(f"{where}: {h.value_heads} value heads can't share {h.key_heads} key heads")
        if h.value_heads < 2:
            raise UnsupportedError(f"{where}: linear attention of one value head; supported: 2 and more")
        if h.state_dim % 16:
            raise UnsupportedError(f"{where}: heads of {h.state_dim} values; supported: multiples of 16")
        if h.period > h.layers:
            raise UnsupportedError(f"{where}: no layer is attention, which is not supported")
        if 2 * sum(h.sections) != h.rope_dim:
            raise FormatError(
                f"{where}: mrope_section {list(h.sections)} of rope_parameters has {sum(h.sections)} pairs; "
                f"head_dim and the rotated share of a head make {h.rope_dim // 2}"
            )

    def rope_table(self, h: Any, g: GraphBuilder) -> Value:
        return g.rope_table(decoder.frequencies(h.rope_base, h.rope_dim), streams=streams(h.sections))

    def mix(self, h: Any, g: GraphBuilder, i: int, y: Value, table: Value) -> Value:
        layer = f"layers.{i}"
        return delta_rule(h, g, layer, y) if recurrent(h, i) else gated_attention(h, g, layer, y, table)

    def graph(self, h: Any, g: GraphBuilder) -> None:
        embedded = x = g.embed("embed")
        table = self.rope_table(h, g)
        for i in range(h.layers):
            x = self.block(h, g, i, x, table)
        x = g.norm(x, "final_norm", h.norm_eps)
        if h.mtp:
            y = g.norm(self.mtp_input(h, g, embedded, g.before(x)), "mtp.attn_norm", h.norm_eps)
            k, v = g.matmuls(y, "mtp.k", "mtp.v")
            append(h, g, "mtp", k, v, table)
        g.logits(x, h.head)

    def mtp_graph(self, h: Any, g: GraphBuilder) -> None:
        embedded = g.embed("embed")
        self.predict(h, g, embedded, g.before(embedded), self.rope_table(h, g))

    def predict(self, h: Any, g: GraphBuilder, embedded: Value, before: Value, table: Value) -> None:
        """Logits of the token after the next, from the next token's embedding and the hidden state before
        it."""
        x = self.mtp_input(h, g, embedded, before)
        y = gated_attention(h, g, "mtp", g.norm(x, "mtp.attn_norm", h.norm_eps), table)
        x = self.feed(h, g, "mtp", g.matmul(y, "mtp.o", residual=x))
        g.logits(g.norm(x, "mtp.norm", h.norm_eps), h.head)

    def mtp_input(self, h: Any, g: GraphBuilder, embedded: Value, before: Value) -> Value:
        """The layer's input."""
        embedded = g.norm(embedded, "mtp.embed_norm", h.norm_eps)
        return g.matmul(g.join(embedded, g.norm(before, "mtp.hidden_norm", h.norm_eps)), "mtp.fc")


def recurrent(h: Qwen35Hyper, layer: int) -> bool:
    """Whether the layer is linear attention."""
    return (layer + 1) % h.period != 0


def streams(sections: Sequence[int]) -> list[int]:
    """The position that rotates each pair (0: time, 1: row, 2: column), interleaved; rows and columns only in
    the first sections[1] and sections[2] rounds."""
    return [k % 3 if k % 3 and k < 3 * sections[k % 3] else 0 for k in range(sum(sections))]


def gated_attention(h: Qwen35Hyper, g: GraphBuilder, layer: str, y: Value, table: Value) -> Value:
    """The attention heads' outputs before the last projection. `q` projects to each head's query, then its
    gate."""
    both, k, v = g.matmuls(y, f"{layer}.q", f"{layer}.k", f"{layer}.v")
    q = g.slice(both, 0, h.head_dim, groups=h.heads)
    gate = g.slice(both, h.head_dim, h.head_dim, groups=h.heads)
    q = g.norm(q, f"{layer}.q_norm", h.norm_eps, heads=h.heads)
    cache = append(h, g, layer, k, v, table)
    y = g.attention(cache, g.rope(q, table, h.heads), h.heads, h.head_dim**-0.5)
    return g.gated(gate, y, act="sigmoid")


def append(h: Qwen35Hyper, g: GraphBuilder, layer: str, k: Value, v: Value, table: Value) -> int:
    """Appends keys and values to a new cache."""
    k = g.norm(k, f"{layer}.k_norm", h.norm_eps, heads=h.kv_heads)
    cache = g.cache(h.kv_heads, h.head_dim)
    g.kv_append(cache, g.rope(k, table, h.kv_heads), v)
    return cache


def delta_rule(h: Qwen35Hyper, g: GraphBuilder, layer: str, y: Value) -> Value:
    """The linear attention heads' outputs before the last projection."""
    mixed, z = g.matmuls(y, f"{layer}.qkv", f"{layer}.z")
    decay, beta = g.matmuls(y, f"{layer}.alpha", f"{layer}.beta")
    mixed = g.conv(mixed, f"{layer}.conv", act="silu")
    # Queries and keys of length 1: an RMS norm over the root of the number of elements.
    size = h.state_dim
    unit = g.constant("unit", [size**-0.5] * size)
    qk = g.norm(g.slice(mixed, 0, 2 * h.key_heads * size), unit, _L2_EPS / size, heads=2 * h.key_heads)
    names = {"rate": f"{layer}.rate", "bias": f"{layer}.dt_bias"}
    y = g.delta_rule(qk, mixed, decay, beta, **names, key_dim=size, value_dim=size, scale=size**-0.5)
    return g.gated(z, g.norm(y, f"{layer}.delta_norm", h.norm_eps, heads=h.value_heads))


def _two_norms(h: Hyper) -> tuple[TensorName, TensorName]:
    attn_norm, ffn_norm = map(offset, decoder.two_norms(h))
    return attn_norm, replace(ffn_norm, gguf="post_attention_norm.weight")


def gated_attention_tensors(h: Qwen35Hyper) -> list[TensorName]:
    q, k, v, o = decoder.attention(h)
    return [replace(q, rows=2 * q.rows), k, v, o, *map(offset, decoder.head_norms(h))]


def delta_tensors(h: Qwen35Hyper) -> list[TensorName]:
    """Value heads are ordered differently: a folder groups them by key head; in GGUF value head h reads key
    head h % key_heads."""
    keys, values = h.key_heads * h.state_dim, h.value_heads * h.state_dim
    channels, group = 2 * keys + values, h.value_heads // h.key_heads
    to_gguf = [head % h.key_heads * group + head // h.key_heads for head in range(h.value_heads)]
    to_folder = layouts.inverse(to_gguf)

    def rows(name: TensorName, before: int, each: int) -> TensorName:
        """Reorders rows of value heads, `each` per head, after the first `before` rows."""
        order = [*range(before), *(before + head * each + i for head in to_gguf for i in range(each))]
        return decoder.in_row_order(name, order)

    def columns(name: TensorName, each: int) -> TensorName:
        return replace(
            name,
            from_hf=lambda tensor: layouts.columns_in_order(tensor, to_gguf, each),
            to_hf=lambda tensor: layouts.columns_in_order(tensor, to_folder, each),
        )

    qkv = TensorName("qkv", "linear_attn.in_proj_qkv.weight", "attn_qkv.weight", channels, h.dim)
    conv = TensorName("conv", "linear_attn.conv1d.weight", "ssm_conv1d.weight", channels, h.taps)
    rate = TensorName("rate", "linear_attn.A_log", "ssm_a", 1, h.value_heads)
    z = TensorName("z", "linear_attn.in_proj_z.weight", "attn_gate.weight", values, h.dim)
    beta = TensorName("beta", "linear_attn.in_proj_b.weight", "ssm_beta.weight", h.value_heads, h.dim)
    alpha = TensorName("alpha", "linear_attn.in_proj_a.weight", "ssm_alpha.weight", h.value_heads, h.dim)
    return [
        rows(qkv, 2 * keys, h.state_dim),
        rows(z, 0, h.state_dim),
        _then(replace(rows(conv, 2 * keys, h.state_dim), hf_shape=(channels, 1, h.taps)), to_float32),
        columns(TensorName("dt_bias", "linear_attn.dt_bias", "ssm_dt.bias", 1, h.value_heads), 1),
        _then(columns(rate, 1), layouts.minus_exp, layouts.log_of_minus),
        rows(beta, 0, 1),
        rows(alpha, 0, 1),
        TensorName("delta_norm", "linear_attn.norm.weight", "ssm_norm.weight", 1, h.state_dim),
        columns(TensorName("o", "linear_attn.out_proj.weight", "ssm_out.weight", h.dim, values), h.state_dim),
    ]


def _then(name: TensorName, change: Change, undo: Change = lambda tensor: tensor) -> TensorName:
    """Adds a conversion after name's conversion from a folder."""
    return replace(
        name,
        from_hf=lambda tensor: change(name.from_folder(tensor)),
        to_hf=lambda tensor: name.to_folder(undo(tensor)),
    )


def _period(fields: Fields) -> int:
    """The n of attention in each nth layer; UnsupportedError for other patterns."""
    if fields.get("layer_types") is None:
        return fields.count("full_attention_interval", _PERIOD)
    types = layer_types(fields, ("full_attention", "linear_attention"))
    layers = len(types)
    period = types.index("full_attention") + 1 if "full_attention" in types else layers + 1
    if types != ["full_attention" if (i + 1) % period == 0 else "linear_attention" for i in range(layers)]:
        raise UnsupportedError(f"{fields.named('layer_types')}; supported: 'full_attention' in each nth layer")
    return period


def rope_parameters(sections: Sequence[int], base: float) -> dict[str, Any]:
    """The setting of a config for positions in images."""
    return {
        "mrope_interleaved": True,
        "mrope_section": list(sections),
        "rope_theta": base,
        "rope_type": "default",
    }


def sections_of(
    fields: Fields, key: str, count: int, default: tuple[int, ...] | None = None
) -> tuple[int, ...]:
    if fields.get(key) is None and default:
        return default
    return tuple(fields.items(key, "whole numbers", is_whole, count))


family = Qwen35()
