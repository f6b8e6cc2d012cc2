"""Idefics3's connector, which SmolVLM and SmolVLM2 have too: a square of neighbouring patches becomes one
token, their states side by side (pixel shuffle), and one matrix takes that to the language model's width."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from tinsmith.fields import Fields
from tinsmith.spec import ConnectorSizes, TowerSizes
from tinsmith.tensor_names import TensorName
from tinsmith.vision.parts import Connector
from tinsmith.vision.pictures import PROCESSOR, Tiles, common, edge

if TYPE_CHECKING:
    from tinsmith.graph import GraphBuilder, Value


class Idefics3(Connector):
    name: ClassVar[str] = "idefics3"
    tower: ClassVar[str] = "siglip"
    hf_architectures: ClassVar[tuple[str, ...]] = (
        "Idefics3ForConditionalGeneration",
        "SmolVLMForConditionalGeneration",
    )
    hf_tower: ClassVar[tuple[str, ...]] = ("model.vision_model.",)
    hf_connector: ClassVar[tuple[str, ...]] = ("model.connector.",)
    vision_defaults: ClassVar[Mapping[str, Any]] = {
        "hidden_size": 1152,
        "num_attention_heads": 16,
        "patch_size": 32,
    }

    def from_hf(self, config: Mapping[str, Any], dim: int) -> ConnectorSizes:
        return ConnectorSizes(Fields(config, "config.json", "").count("scale_factor", 2), dim)

    def tokens(self, config: Mapping[str, Any]) -> dict[str, int]:
        return {"image": Fields(config, "config.json", "").count("image_token_id")}

    def pictures(self, processor: Mapping[str, Any]) -> Tiles:
        fields = Fields(processor, PROCESSOR, "")
        split = fields.get("do_image_splitting", True)
        tile = edge(fields, "max_image_size", "longest_edge")
        return Tiles(
            **common(fields), longest=edge(fields, "size", "longest_edge"), tile=tile, split=bool(split)
        )

    def tensors(self, sizes: TowerSizes, joint: ConnectorSizes) -> list[TensorName]:
        """In a token's inputs the patches follow one another by rows of the square."""
        inputs = sizes.dim * joint.merge**2
        return [
            TensorName(
                "connector.project", "modality_projection.proj.weight", "mm.model.fc.weight", joint.dim, inputs
            )
        ]

    def graph(self, joint: ConnectorSizes, g: GraphBuilder, x: Value) -> Value:
        return g.matmul(g.merge(x, joint.merge), "connector.project")


connector = Idefics3()
