"""The qwen3 family: llama with an RMS norm of each query and key head before it is rotated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinsmith.models import decoder
from tinsmith.models.family import Family, StandIn, TensorName, by_name


class Qwen3(Family):
    name = "qwen3"
    hf_architectures = ("Qwen3ForCausalLM",)
    text_models = ("qwen3",)
    defaults = {"head_dim": 128, "max_position_embeddings": 32768, "num_key_value_heads": 32}
    only = {**Family.only, "use_sliding_window": (False,)}
    keeps_head_dim = True
    head_norms = True

    def stand_in(self, config: Mapping[str, Any]) -> StandIn | None:
        """Qwen3-VL's language model alone is written as a qwen3."""
        rope = config.get("rope_parameters")
        if self.name != "qwen3" or not isinstance(rope, Mapping) or "mrope_section" not in rope:
            return None
        return StandIn(by_name("qwen3vl"), dict(config), dict)

    def layer(self, h: Any, i: int) -> list[TensorName]:
        attention = [*decoder.attention(h), *decoder.head_norms(h)]
        return [*decoder.two_norms(h), *attention, *self.feed_forward(h, i)]


family = Qwen3()
