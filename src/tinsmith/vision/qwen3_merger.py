"""The patch merger of Qwen3-VL and Qwen3.5. Each patch's state is layer-normed; the states of a square of
patches are concatenated to one token; two matrices with an exact GELU between project it to the language
model's width. States of earlier layers have their own mergers, with the norm after the concatenation, and
follow in the same row. transformers orders patches by these squares, the runtime by rows; no state depends on
the order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tinsmith.fields import Fields
from tinsmith.spec import EncoderSizes, ProjectorSizes
from tinsmith.tensor_names import TensorName
from tinsmith.vision.image_rules import Bounded
from tinsmith.vision.parts import Projector
from tinsmith.vision.qwen3_vl import FRAMES, Qwen3VlSizes
from tinsmith.vision.siglip import CONFIG, linear, norm

if TYPE_CHECKING:
    from tinsmith.graph import GraphBuilder, Value


class Qwen3Merger(Projector):
    """The norm's epsilon is the encoder's."""

    name = "qwen3_merger"
    encoder = "qwen3_vl"
    hf_architectures = (
        "Qwen3_5ForConditionalGeneration",
        "Qwen3_5MoeForConditionalGeneration",
        "Qwen3VLForConditionalGeneration",
    )
    hf_written = {
        "": ("Qwen3_5ForConditionalGeneration", "qwen3_5", "qwen3_5_vision"),
        "qwen3_5_moe_text": ("Qwen3_5MoeForConditionalGeneration", "qwen3_5_moe", "qwen3_5_moe_vision"),
        "qwen3": ("Qwen3VLForConditionalGeneration", "qwen3_vl", "qwen3_vl_vision"),
    }
    hf_text = {"qwen3": "qwen3_vl_text"}
    hf_encoder = ("model.visual.",)
    hf_projector = ("model.visual.",)
    hf_language = "model.language_model."
    rule = Bounded
    token_keys = {"image": "image_token_id", "begin": "vision_start_token_id", "end": "vision_end_token_id"}
    filter = "bicubic"
    hf_rule = {"min_pixels": ("size.shortest_edge", None), "max_pixels": ("size.longest_edge", None)}
    hf_processor = {"image_processor_type": "Qwen2VLImageProcessor", "processor_class": "Qwen3VLProcessor"}
    gguf_rule = {"min_pixels": "image_min_pixels", "max_pixels": "image_max_pixels"}
    token_texts = {"image": "<|image_pad|>", "begin": "<|vision_start|>", "end": "<|vision_end|>"}
    clip_type = "qwen3vl_merger"
    merge_key = "spatial_merge_size"
    merge = 2

    def from_hf(self, config: Mapping[str, Any], sizes: EncoderSizes, dim: int) -> ProjectorSizes:
        fields = Fields(config["vision_config"], CONFIG)
        fields.refuse("out_hidden_size", dim)
        return ProjectorSizes(fields.count("spatial_merge_size", self.merge), dim)

    def to_hf(self, sizes: EncoderSizes, joint: ProjectorSizes) -> dict[str, Any]:
        return {"vision_config": {"out_hidden_size": joint.dim, "spatial_merge_size": joint.merge}}

    def processor_sizes(self, sizes: EncoderSizes, joint: ProjectorSizes) -> dict[str, Any]:
        return {"patch_size": sizes.patch, "merge_size": joint.merge, "temporal_patch_size": FRAMES}

    def usual_images(self, sizes: EncoderSizes, joint: ProjectorSizes) -> dict[str, Any]:
        """The bounds are 8 to 4096 tokens."""
        area = (sizes.patch * joint.merge) ** 2
        return {"min_pixels": 8 * area, "max_pixels": 4096 * area}

    def tensors(self, sizes: Qwen3VlSizes, joint: ProjectorSizes) -> list[TensorName]:
        inputs = sizes.dim * joint.merge**2
        names = norm("projector.norm", "merger.norm", "v.post_ln", sizes.dim)
        names += linear("projector.up", "merger.linear_fc1", "mm.0", inputs, inputs)
        names += linear("projector.down", "merger.linear_fc2", "mm.2", joint.dim, inputs)
        for k, layer in enumerate(sizes.deep):
            own, hf, gguf = f"projector.deep.{k}", f"deepstack_merger_list.{k}", f"v.deepstack.{layer}"
            names += norm(f"{own}.norm", f"{hf}.norm", f"{gguf}.norm", inputs)
            names += linear(f"{own}.up", f"{hf}.linear_fc1", f"{gguf}.fc1", inputs, inputs)
            names += linear(f"{own}.down", f"{hf}.linear_fc2", f"{gguf}.fc2", joint.dim, inputs)
        return names

    def graph(self, sizes: Qwen3VlSizes, joint: ProjectorSizes, g: GraphBuilder, states: list[Value]) -> Value:
        def norm(x: Value, own: str) -> Value:
            return g.layer_norm(x, f"{own}.norm", f"{own}.norm_bias", sizes.norm_eps)

        def project(x: Value, own: str) -> Value:
            x = g.act(g.matmul(x, f"{own}.up", bias=f"{own}.up_bias"), "gelu_erf")
            return g.matmul(x, f"{own}.down", bias=f"{own}.down_bias")

        last, *early = states
        row = project(g.merge(norm(last, "projector"), joint.merge), "projector")
        for k, x in enumerate(early):
            own = f"projector.deep.{k}"
            row = g.join(row, project(norm(g.merge(x, joint.merge), own), own))
        return row


projector = Qwen3Merger()
