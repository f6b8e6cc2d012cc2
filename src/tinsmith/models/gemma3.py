"""The gemma3 family, text only: gemma2 with norms of query and key heads instead of soft caps, windows in five
of six layers, and a larger RoPE base in layers without one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tinsmith.errors import FormatError
from tinsmith.graph import GraphBuilder, Value
from tinsmith.models import decoder
from tinsmith.models.family import Fields, TensorName, shortest_float32
from tinsmith.models.gemma2 import (
    Gemma,
    four_norms,
    offset,
    refuse_other_query_scalar,
    usual_query_scalar,
    windows_every,
)
from tinsmith.spec import Hyper

_PERIOD = 6
_LAYERS_OF_27B = 62


@dataclass(frozen=True)
class Gemma3Hyper(Hyper):
    """Each period-th layer attends to all positions, with RoPE frequencies divided by rope_factor; the others
    attend to `window` positions, with RoPE base local_base. query_scalar: scores are divided by its root.
    logit_cap: c in c * tanh(x / c), 0 for none."""

    window: int
    period: int
    local_base: float
    rope_factor: float
    query_scalar: int
    logit_cap: float


class Gemma3(Gemma):
    name = "gemma3"
    model_type = "gemma3_text"
    hf_architectures = ("Gemma3ForCausalLM", "Gemma3ForConditionalGeneration")
    text_models = ("gemma3_text",)
    hyper = Gemma3Hyper
    defaults = {
        "head_dim": 256,
        "max_position_embeddings": 131072,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "query_pre_attn_scalar": 256,
        "sliding_window": 4096,
        "tie_word_embeddings": True,
        "vocab_size": 262208,
    }
    only = {
        "hidden_activation": ("gelu_pytorch_tanh",),
        "attention_bias": (False,),
        "attn_logit_softcapping": (None,),
        "use_bidirectional_attention": (False,),
    }
    only_gguf = {"rope.scaling.type": ("none", "linear")}
    head_norms = True

    def rope_from_hf(self, config: Mapping[str, Any]) -> Fields:
        """RoPE settings of layers without a window; the base of the others as `rope_local_base_freq`."""
        given = config.get("rope_parameters")
        local: Any
        if not isinstance(given, Mapping) or "full_attention" not in given:
            whole, local = config, {"rope_theta": config.get("rope_local_base_freq")}
        else:
            whole, local = {"rope_parameters": given["full_attention"]}, given.get("sliding_attention")
            if not isinstance(local, Mapping):
                raise FormatError(f"{decoder.CONFIG}: rope_parameters has no table sliding_attention")
            decoder.rope_settings({"rope_parameters": local}, "default")
        settings = decoder.rope_settings(whole, "default", "linear")
        settings["rope_theta"] = 1e6 if settings["rope_theta"] is None else settings["rope_theta"]
        return Fields(settings | {"rope_local_base_freq": local.get("rope_theta")}, decoder.CONFIG)

    def more_from_hf(self, fields: Fields, rope: Fields) -> dict[str, Any]:
        scaled = rope.values["rope_type"] == "linear"
        return {
            "window": fields.count("sliding_window"),
            "period": windows_every(fields, _PERIOD),
            "local_base": rope.real("rope_local_base_freq", 1e4),
            "rope_factor": rope.real("factor") if scaled else 1.0,
            "query_scalar": fields.count("query_pre_attn_scalar"),
            "logit_cap": fields.real_or_0("final_logit_softcapping"),
        }

    def more_to_hf(self, h: Gemma3Hyper) -> dict[str, Any]:
        types = ["sliding_attention" if windowed(h, i) else "full_attention" for i in range(h.layers)]
        return {
            "final_logit_softcapping": h.logit_cap or None,
            "layer_types": types,
            "query_pre_attn_scalar": h.query_scalar,
            "rope_local_base_freq": h.local_base,
            "rope_scaling": None if h.rope_factor == 1 else {"rope_type": "linear", "factor": h.rope_factor},
            "sliding_window": h.window,
            "sliding_window_pattern": h.period,
        }

    def more_from_gguf(self, fields: Fields, h: dict[str, Any]) -> dict[str, Any]:
        return {
            "window": fields.count("attention.sliding_window"),
            "period": fields.count("attention.sliding_window_pattern", _PERIOD),
            "local_base": shortest_float32(fields.real("rope.freq_base_swa", 1e4)),
            "rope_factor": shortest_float32(fields.real("rope.scaling.factor", 1.0)),
            "query_scalar": usual_query_scalar(h, _LAYERS_OF_27B),
            "logit_cap": shortest_float32(fields.real_or_0("final_logit_softcapping")),
        }

    def more_to_gguf(self, h: Gemma3Hyper) -> dict[str, Any]:
        refuse_other_query_scalar(h, h.query_scalar, _LAYERS_OF_27B)
        own: dict[str, Any] = {"attention.sliding_window": h.window, "rope.freq_base_swa": h.local_base}
        if h.period != _PERIOD:
            own["attention.sliding_window_pattern"] = h.period
        if h.rope_factor != 1:
            own |= {"rope.scaling.type": "linear", "rope.scaling.factor": h.rope_factor}
        if h.logit_cap:
            own["final_logit_softcapping"] = h.logit_cap
        return own

    def layer(self, h: Hyper, i: int) -> list[TensorName]:
        heads = [offset(name) for name in decoder.head_norms(h)]
        return [*four_norms(h), *decoder.attention(h), *heads, *self.feed_forward(h, i)]

    def rope_table(self, h: Gemma3Hyper, g: GraphBuilder) -> tuple[Value, Value]:
        near = g.rope_table(decoder.frequencies(h.local_base, h.rope_dim))
        return near, g.rope_table(decoder.frequencies(h.rope_base, h.rope_dim, h.rope_factor))

    def mix(self, h: Gemma3Hyper, g: GraphBuilder, i: int, y: Value, table: tuple[Value, Value]) -> Value:
        return super().mix(h, g, i, y, table[0 if windowed(h, i) else 1])

    def attention_options(self, h: Gemma3Hyper, i: int) -> dict[str, Any]:
        window = h.window if windowed(h, i) else 0
        return {"window": window, "scale": h.query_scalar**-0.5, "images": True}


def windowed(h: Gemma3Hyper, layer: int) -> bool:
    return (layer + 1) % h.period != 0


family = Gemma3()
