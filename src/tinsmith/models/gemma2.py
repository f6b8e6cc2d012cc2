"""The gemma2 family: scaled embeddings, norms before and after each block, soft caps on attention scores and
logits, and a window on every other layer's attention.

A folder stores a norm's weight minus one; GGUF and a spec store the weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tinsmith import layouts
from tinsmith.errors import UnsupportedError
from tinsmith.graph import GraphBuilder, Value
from tinsmith.models import decoder
from tinsmith.models.decoder import Key
from tinsmith.models.family import Family, Fields, TensorName
from tinsmith.spec import Hyper

_PERIOD = 2
_KEYS = (
    Key("window", "sliding_window", "attention.sliding_window", "count", 4096),
    Key("attention_cap", "attn_logit_softcapping", "attn_logit_softcapping", "real", 50.0),
    Key("logit_cap", "final_logit_softcapping", "final_logit_softcapping", "real", 30.0),
)


@dataclass(frozen=True)
class Gemma2Hyper(Hyper):
    """window: of every other layer. query_scalar: scores are divided by its root. attention_cap, logit_cap: c
    in c * tanh(x / c) of scores and of logits."""

    window: int
    query_scalar: int
    attention_cap: float
    logit_cap: float


class Gemma(Family):
    keeps_head_dim = True
    act = "gelu"
    post_norms = True

    def final_norm(self, h: Hyper) -> TensorName:
        return offset(super().final_norm(h))

    def embedding_scale(self, h: Hyper) -> float:
        return float(h.dim**0.5)

    def logits(self, h: Any, g: GraphBuilder, x: Value) -> None:
        g.logits(x, h.head, cap=h.logit_cap)


class Gemma2(Gemma):
    name = "gemma2"
    hf_architectures = ("Gemma2ForCausalLM",)
    hyper = Gemma2Hyper
    keys = _KEYS
    defaults = {
        "head_dim": 256,
        "max_position_embeddings": 8192,
        "num_key_value_heads": 4,
        "query_pre_attn_scalar": 256,
        "sliding_window": 4096,
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
        "tie_word_embeddings": True,
    }
    only = {
        "hidden_activation": ("gelu_pytorch_tanh",),
        "attention_bias": (False,),
        "use_bidirectional_attention": (False,),
        "tie_word_embeddings": (True,),  # GGUF has no head for it
    }
    only_gguf = {"rope.scaling.type": ("none",), "attention.sliding_window_pattern": (_PERIOD,)}

    def more_from_hf(self, fields: Fields, rope: Fields) -> dict[str, Any]:
        if windows_every(fields, _PERIOD) != _PERIOD:
            raise UnsupportedError(f"{fields.where}: layer_types must give every other layer a window")
        return {"query_scalar": fields.count("query_pre_attn_scalar")}

    def more_to_hf(self, h: Gemma2Hyper) -> dict[str, Any]:
        return {"query_pre_attn_scalar": h.query_scalar, "hidden_act": "gelu_pytorch_tanh"}

    def more_from_gguf(self, fields: Fields, h: dict[str, Any]) -> dict[str, Any]:
        return {"query_scalar": usual_query_scalar(h, 46)}

    def more_to_gguf(self, h: Gemma2Hyper) -> dict[str, Any]:
        refuse_other_query_scalar(h, h.query_scalar, 46)
        return {}

    def check(self, h: Hyper, where: str) -> None:
        super().check(h, where)
        if not h.tied:
            raise UnsupportedError(f"{where}: tie_word_embeddings must be true; gemma2 has no separate head")

    def layer(self, h: Hyper, i: int) -> list[TensorName]:
        return [*four_norms(h), *decoder.attention(h), *self.feed_forward(h, i)]

    def attention_options(self, h: Gemma2Hyper, i: int) -> dict[str, Any]:
        window = h.window if (i + 1) % _PERIOD else 0
        return {"window": window, "scale": h.query_scalar**-0.5, "cap": h.attention_cap}


def offset(name: TensorName) -> TensorName:
    """Of a norm's weight that a folder stores minus one."""
    return replace(name, from_hf=layouts.plus_one, to_hf=layouts.minus_one)


def four_norms(h: Hyper) -> list[TensorName]:
    """The norms before and after attention and feed-forward, stored minus one."""
    return [offset(name) for name in plain_norms(h)]


def plain_norms(h: Hyper) -> list[TensorName]:
    """The norms before and after attention and feed-forward, stored as they are."""
    names = (
        ("attn_norm", "input_layernorm", "attn_norm"),
        ("attn_post_norm", "post_attention_layernorm", "post_attention_norm"),
        ("ffn_norm", "pre_feedforward_layernorm", "ffn_norm"),
        ("ffn_post_norm", "post_feedforward_layernorm", "post_ffw_norm"),
    )
    return [TensorName(role, f"{hf}.weight", f"{gguf}.weight", 1, h.dim) for role, hf, gguf in names]


def windows_every(fields: Fields, usual: int) -> int:
    """The period n of a config in which all layers except each nth have windows; `usual` if there are too few
    layers to tell. UnsupportedError for another pattern."""
    layers, given = fields.count("num_hidden_layers"), fields.get("layer_types")
    if given is None:
        return fields.count("sliding_window_pattern", usual)
    periods: list[int] = [usual, *range(1, layers + 1)]
    for period in periods:
        if given == ["sliding_attention" if (i + 1) % period else "full_attention" for i in range(layers)]:
            return period
    raise UnsupportedError(f"{fields.where}: layer_types must be 'full_attention' in each nth layer alone")


def usual_query_scalar(h: Mapping[str, Any], layers_of_27b: int) -> int:
    """llama.cpp's value, as GGUF has no key for it: the head width, or in 27B models, known by their number of
    layers, the embedding's width per head."""
    return int(h["dim"] // h["heads"] if h["layers"] == layers_of_27b else h["head_dim"])


def refuse_other_query_scalar(h: Hyper, given: int, layers_of_27b: int) -> None:
    usual = usual_query_scalar(vars(h), layers_of_27b)
    if given != usual:
        raise UnsupportedError(f"query_pre_attn_scalar is {given}; GGUF can't state it: {usual} is assumed")


family = Gemma2()
