"""Gemma 3's projector: the mean of a square of patches becomes one token; an RMS norm and one matrix project it
to the language model's width."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isqrt
from typing import TYPE_CHECKING, Any

from tinsmith.errors import FormatError
from tinsmith.fields import Fields
from tinsmith.layouts import minus_one, plus_one, transposed
from tinsmith.spec import EncoderSizes, ProjectorSizes, Tensor
from tinsmith.tensor_names import TensorName
from tinsmith.vision.image_rules import Square, common_from_hf, within
from tinsmith.vision.parts import CONFIG, Projector, Written

if TYPE_CHECKING:
    from tinsmith.graph import GraphBuilder, Value


class Gemma3(Projector):
    """The norm's epsilon is the encoder's."""

    name = "gemma3"
    encoder = "siglip"
    hf_architectures = ("Gemma3ForConditionalGeneration",)
    hf_written = {"": ("Gemma3ForConditionalGeneration", "gemma3", "siglip_vision_model")}
    hf_encoder = (
        "vision_tower.vision_model.",
        "model.vision_tower.vision_model.",
        "vision_tower.",
        "model.vision_tower.",
    )
    hf_projector = ("multi_modal_projector.", "model.multi_modal_projector.")
    hf_language = "language_model.model."
    hf_head = "language_model.lm_head.weight"
    hf_tokens = "image_seq_length"
    rule = Square
    token_keys = {"image": "image_token_index", "begin": "boi_token_index", "end": "eoi_token_index"}
    filter = "bilinear"
    hf_processor = {"image_processor_type": "Gemma3ImageProcessor", "processor_class": "Gemma3Processor"}
    token_texts = {"image": "<image_soft_token>", "begin": "<start_of_image>", "end": "<end_of_image>"}
    tokenizer_keys = {"image": "image_token", "begin": "boi_token", "end": "eoi_token"}
    clip_type = "gemma3"
    merge = 4

    def texts(self, word: Mapping[str, str]) -> Written:
        return Written("\n\n" + word["begin"], word["end"] + "\n\n")

    def from_hf(self, config: Mapping[str, Any], sizes: EncoderSizes, dim: int) -> ProjectorSizes:
        fields = Fields(config, CONFIG)
        side = isqrt(fields.count("mm_tokens_per_image", 256))
        if not sizes.side or sizes.side % side:
            raise FormatError(f"{fields.named('mm_tokens_per_image')}; its root must divide {sizes.side}")
        return ProjectorSizes(sizes.side // side, dim)

    def to_hf(self, sizes: EncoderSizes, joint: ProjectorSizes) -> dict[str, Any]:
        return {"mm_tokens_per_image": (sizes.side // joint.merge) ** 2}

    def images_from_hf(self, processor: Fields, sizes: EncoderSizes, joint: ProjectorSizes) -> Square:
        processor.refuse("do_pan_and_scan", False)
        edge = sizes.side * sizes.patch
        size = within(processor, "size")
        size.refuse("height", edge)
        size.refuse("width", edge)
        return Square(**common_from_hf(processor, self.filter), edge=edge)

    def images_to_hf(self, images: Square, sizes: EncoderSizes, joint: ProjectorSizes) -> dict[str, Any]:
        return {**self.hf_processor, "size": {"height": images.edge, "width": images.edge}}

    def usual_images(self, sizes: EncoderSizes, joint: ProjectorSizes) -> dict[str, Any]:
        return {"edge": sizes.side * sizes.patch}

    def tensors(self, sizes: EncoderSizes, joint: ProjectorSizes) -> list[TensorName]:
        """Both file formats have the matrix transposed: a row an input, a column an output."""
        soft = TensorName("projector.norm", "mm_soft_emb_norm.weight", "mm.soft_emb_norm.weight", 1, sizes.dim)
        names = ("mm_input_projection_weight", "mm.input_projection.weight")
        return [
            TensorName("projector.project_t", *names, sizes.dim, joint.dim),
            replace(soft, from_hf=plus_one, to_hf=minus_one),
        ]

    def from_graph(self, joint: ProjectorSizes, tensors: dict[str, Tensor]) -> None:
        tensors["projector.project_t"] = transposed(tensors.pop("projector.project"))

    def graph(self, sizes: EncoderSizes, joint: ProjectorSizes, g: GraphBuilder, states: list[Value]) -> Value:
        (x,) = states
        g.graph.tensors["projector.project"] = transposed(g.graph.tensors["projector.project_t"])
        x = g.norm(g.merge(x, joint.merge, mean=True), "projector.norm", sizes.norm_eps)
        return g.matmul(x, "projector.project")


projector = Gemma3()
