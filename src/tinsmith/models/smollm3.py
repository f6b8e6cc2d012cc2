"""The smollm3 family: llama without RoPE in every fourth layer."""

from __future__ import annotations

from typing import Any

from tinsmith.errors import UnsupportedError
from tinsmith.graph import GraphBuilder, Value
from tinsmith.models import decoder
from tinsmith.models.family import Family, Fields
from tinsmith.spec import Hyper

_INTERVAL = 4  # hard-coded in llama.cpp: GGUF has no key for it


class SmolLM3(Family):
    name = "smollm3"
    hf_architectures = ("SmolLM3ForCausalLM",)
    text_models = ("smollm3",)
    defaults = {
        "max_position_embeddings": 32768,
        "num_key_value_heads": 4,
        "rope_theta": 2000000.0,
        "tie_word_embeddings": True,
    }
    only = {
        **Family.only,
        "mlp_bias": (False,),
        "use_sliding_window": (False,),
        "no_rope_layer_interval": (_INTERVAL,),
    }

    def more_from_hf(self, fields: Fields, rope: Fields) -> dict[str, Any]:
        layers = fields.count("num_hidden_layers")
        given, expected = fields.get("no_rope_layers"), [int(rotates(i)) for i in range(layers)]
        if given is not None and given != expected:
            raise UnsupportedError(f"{fields.where}: no_rope_layers must leave out every {_INTERVAL}th layer")
        return {}

    def more_to_hf(self, h: Hyper) -> dict[str, Any]:
        return {"no_rope_layers": [int(rotates(i)) for i in range(h.layers)]}

    def more_to_gguf(self, h: Hyper) -> dict[str, Any]:
        return {"vocab_size": h.vocab, "rope.dimension_count": h.rope_dim}

    def mix(self, h: Hyper, g: GraphBuilder, i: int, y: Value, table: Value) -> Value:
        q, k, v = decoder.heads(h, g, f"layers.{i}", y)
        if rotates(i):
            q, k = g.rope(q, table, h.heads), g.rope(k, table, h.kv_heads)
        return decoder.attend(h, g, q, k, v, None)


def rotates(layer: int) -> bool:
    return (layer + 1) % _INTERVAL != 0


family = SmolLM3()
