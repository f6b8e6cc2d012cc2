"""The qwen3vl family, the language model of Qwen3-VL (Bai et al. 2025). It is qwen3 with RoPE positions of
time, row and column for images, whose first layers add states of the encoder's earlier layers (DeepStack: Meng
et al., arXiv 2406.04334). On text it equals qwen3; a folder without a vision model names it so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.graph import GraphBuilder, Value
from tinsmith.models import decoder
from tinsmith.models.family import Fields
from tinsmith.models.qwen3 import Qwen3
from tinsmith.models.qwen35 import rope_parameters, sections_of, streams
from tinsmith.spec import Hyper

_SECTIONS = (24, 20, 20)
_DEEP = "n_deepstack_layers"  # GGUF's key; a folder lists the encoder's layers, or has this without an encoder
_DEEP_LAYERS = "deepstack_visual_indexes"


@dataclass(frozen=True)
class Qwen3VlHyper(Hyper):
    """sections: numbers of rotated pairs for time, height and width, which are equal for text. deep: number of
    first layers after which images add a state of an earlier encoder layer."""

    sections: tuple[int, ...]
    deep: int


class Qwen3Vl(Qwen3):
    name = "qwen3vl"
    model_type = "qwen3"
    hf_architectures = ("Qwen3VLForConditionalGeneration",)
    text_models = ("qwen3_vl_text",)
    hyper = Qwen3VlHyper
    ignored_hf = ((r"model\.visual\..*", "the vision encoder is left out: text only"),)
    defaults = {"head_dim": 128, "max_position_embeddings": 128000, "rope_theta": 500000.0}

    def more_from_hf(self, fields: Fields, rope: Fields) -> dict[str, Any]:
        vision = fields.get("vision_config")
        layers = vision.get(_DEEP_LAYERS) if isinstance(vision, Mapping) else None
        if vision is not None and not isinstance(layers, list):
            raise FormatError(f"{fields.named('vision_config')}; it must be a table with a list {_DEEP_LAYERS}")
        deep = fields.count_or_0(_DEEP) if layers is None else len(layers)
        return {"sections": sections_of(rope, "mrope_section", 3, _SECTIONS), "deep": deep}

    def more_to_hf(self, h: Qwen3VlHyper) -> dict[str, Any]:
        return {
            **super().more_to_hf(h),
            **({_DEEP: h.deep} if h.deep else {}),
            "architectures": [Qwen3.hf_architectures[0]],
            "rope_parameters": rope_parameters(h.sections, h.rope_base),
        }

    def more_from_gguf(self, fields: Fields, h: dict[str, Any]) -> dict[str, Any]:
        return {
            "sections": sections_of(fields, "rope.dimension_sections", 4)[:3],
            "deep": fields.count_or_0(_DEEP),
        }

    def more_to_gguf(self, h: Qwen3VlHyper) -> dict[str, Any]:
        return {**super().more_to_gguf(h), "rope.dimension_sections": [*h.sections, 0], _DEEP: h.deep}

    def check(self, h: Qwen3VlHyper, where: str) -> None:
        super().check(h, where)
        if 2 * sum(h.sections) != h.rope_dim:
            raise FormatError(
                f"{where}: mrope_section {list(h.sections)} of rope_parameters has {sum(h.sections)} pairs; "
                f"head_dim makes {h.rope_dim // 2}"
            )
        if h.deep > h.layers:
            raise UnsupportedError(
                f"{where}: states of {h.deep} encoder layers need as many; there are {h.layers}"
            )

    def rope_table(self, h: Qwen3VlHyper, g: GraphBuilder) -> Value:
        return g.rope_table(decoder.frequencies(h.rope_base, h.rope_dim), streams=streams(h.sections))

    def block(self, h: Qwen3VlHyper, g: GraphBuilder, i: int, x: Value, table: Value) -> Value:
        x = super().block(h, g, i, x, table)
        return g.given(x, i + 1) if i < h.deep else x


family = Qwen3Vl()
