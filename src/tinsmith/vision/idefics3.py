"""The projector of Idefics3, SmolVLM and SmolVLM2: the states of a square of patches are concatenated to one
token (pixel shuffle), and one matrix projects it to the language model's width."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tinsmith.fields import Fields
from tinsmith.spec import EncoderSizes, ProjectorSizes
from tinsmith.tensor_names import TensorName
from tinsmith.vision.image_rules import Tiles
from tinsmith.vision.parts import CONFIG, Projector, Written

if TYPE_CHECKING:
    from tinsmith.graph import GraphBuilder, Value


class Idefics3(Projector):
    name = "idefics3"
    encoder = "siglip"
    hf_architectures = ("Idefics3ForConditionalGeneration", "SmolVLMForConditionalGeneration")
    hf_written = {"": ("Idefics3ForConditionalGeneration", "idefics3", "idefics3_vision")}
    hf_encoder = ("model.vision_model.",)
    hf_projector = ("model.connector.",)
    hf_language = "model.text_model."
    vision_defaults = {"hidden_size": 1152, "num_attention_heads": 16, "patch_size": 32}
    hf_tokens = "image_seq_len"
    rule = Tiles
    token_keys = {"image": "image_token_id"}
    filter = "lanczos"
    hf_rule = {
        "edge": ("max_image_size.longest_edge", None),
        "longest": ("size.longest_edge", None),
        "split": ("do_image_splitting", True),
    }
    hf_processor = {
        "do_pad": True,
        "image_processor_type": "Idefics3ImageProcessor",
        "processor_class": "Idefics3Processor",
    }
    gguf_rule = {"longest": "preproc_image_size"}
    token_texts = {"image": "<image>", "around": "<fake_token_around_image>", "whole": "<global-img>"}
    clip_type = "idefics3"
    merge = 2
    dropped = " "

    def texts(self, word: Mapping[str, str]) -> Written:
        around = word["around"]
        return Written(
            alone=around + word["whole"],
            alone_end=around,
            row=around + "<row_",
            column="_col_",
            tile=">",
            row_end="\n",
            tiles_end="\n",
            whole=around + word["whole"],
            tiled_end=around,
        )

    def from_hf(self, config: Mapping[str, Any], sizes: EncoderSizes, dim: int) -> ProjectorSizes:
        return ProjectorSizes(Fields(config, CONFIG).count("scale_factor", self.merge), dim)

    def to_hf(self, sizes: EncoderSizes, joint: ProjectorSizes) -> dict[str, Any]:
        return {"scale_factor": joint.merge}

    def usual_images(self, sizes: EncoderSizes, joint: ProjectorSizes) -> dict[str, Any]:
        edge = sizes.side * sizes.patch
        return {"edge": edge, "longest": edge, "split": True}

    def tensors(self, sizes: EncoderSizes, joint: ProjectorSizes) -> list[TensorName]:
        """A token's inputs are its patches' states, row by row of the square."""
        inputs = sizes.dim * joint.merge**2
        names = ("modality_projection.proj.weight", "mm.model.fc.weight")
        return [TensorName("projector.project", *names, joint.dim, inputs)]

    def graph(self, sizes: EncoderSizes, joint: ProjectorSizes, g: GraphBuilder, states: list[Value]) -> Value:
        (x,) = states
        return g.matmul(g.merge(x, joint.merge), "projector.project")


projector = Idefics3()
