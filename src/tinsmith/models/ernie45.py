"""The ernie45 family (ERNIE 4.5, dense): llama with interleaved RoPE, in folders as in GGUF."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinsmith.models import decoder
from tinsmith.models.family import Fields, TensorName
from tinsmith.models.llama import Llama
from tinsmith.spec import Hyper


class Ernie45(Llama):
    name = "ernie45"
    model_type = "ernie4_5"
    hf_architectures = ("Ernie4_5ForCausalLM", "Ernie4_5_ForCausalLM")
    gguf_architecture = "ernie4_5"
    text_models = ("ernie4_5",)
    defaults = {
        "head_dim": 128,
        "max_position_embeddings": 131072,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0,
        "tie_word_embeddings": True,
    }
    only = {"hidden_act": ("silu", "swish"), "use_bias": (False,)}
    keeps_head_dim = True

    def rope_from_hf(self, config: Mapping[str, Any]) -> Fields:
        return Fields(decoder.rope_settings(config, "default"), decoder.CONFIG)

    def more_to_gguf(self, h: Hyper) -> dict[str, Any]:
        return {"vocab_size": h.vocab}

    def layer(self, h: Hyper, i: int) -> list[TensorName]:
        q, k, v, o = decoder.attention(h, permuted=True)
        return [*decoder.two_norms(h), _halved(q), _halved(k), v, o, *self.feed_forward(h, i)]


def _halved(name: TensorName) -> TensorName:
    """Converts interleaved pairs of a head to a spec's order: the first of each pair, then the second."""
    heads, size = name.rotary_heads or 1, len(name.file_order)
    order = [head * size + i for head in range(heads) for i in (*range(0, size, 2), *range(1, size, 2))]
    return decoder.in_row_order(name, order)


family = Ernie45()
