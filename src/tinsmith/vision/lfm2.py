"""LFM2-VL's projector: the states of a square of patches are concatenated to one token (pixel unshuffle); an
optional layer norm, and two matrices with an exact GELU between project it to the language model's width."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.fields import Fields
from tinsmith.spec import EncoderSizes, ProjectorSizes
from tinsmith.tensor_names import TensorName
from tinsmith.vision.image_rules import Natural
from tinsmith.vision.parts import CONFIG, Projector, Shapes, Written
from tinsmith.vision.siglip import linear, norm

if TYPE_CHECKING:
    from tinsmith.graph import GraphBuilder, Value

NORM_EPS = 1e-5  # torch.nn.LayerNorm's default; configs don't change it
_NORM = "mm.input_norm.weight"
_UP = "mm.1.weight"


@dataclass(frozen=True)
class Lfm2Sizes(ProjectorSizes):
    """hidden: width between the two matrices. norm: a layer norm precedes them. bias: both have one."""

    hidden: int
    norm: bool
    bias: bool


class Lfm2(Projector):
    name = "lfm2"
    encoder = "siglip2"
    joint = Lfm2Sizes
    hf_architectures = ("Lfm2VlForConditionalGeneration",)
    hf_written = {"": ("Lfm2VlForConditionalGeneration", "lfm2_vl", "siglip2_vision_model")}
    hf_encoder = ("model.vision_tower.vision_model.", "model.vision_tower.")
    hf_projector = ("model.multi_modal_projector.",)
    hf_language = "model.language_model."
    rule = Natural
    token_keys = {"image": "image_token_id"}
    filter = "bilinear"
    hf_rule = {
        "edge": ("tile_size", 512),
        "split": ("do_image_splitting", True),
        "thumbnail": ("use_thumbnail", True),
        "min_tiles": ("min_tiles", 2),
        "max_tiles": ("max_tiles", 10),
        "min_tokens": ("min_image_tokens", 64),
        "max_tokens": ("max_image_tokens", 256),
        "tolerance": ("max_pixels_tolerance", 2.0),
    }
    hf_processor = {
        "do_pad": True,
        "image_processor_type": "Lfm2VlImageProcessor",
        "processor_class": "Lfm2VlProcessor",
    }
    token_texts = {
        "image": "<image>",
        "begin": "<|image_start|>",
        "end": "<|image_end|>",
        "thumbnail": "<|img_thumbnail|>",
    }
    clip_type = "lfm2"
    merge = 2

    def texts(self, word: Mapping[str, str]) -> Written:
        return Written(
            alone=word["begin"],
            alone_end=word["end"],
            tiled=word["begin"],
            row="<|img_row_",
            column="_col_",
            tile="|>",
            whole=word["thumbnail"],
            tiled_end=word["end"],
        )

    def from_hf(self, config: Mapping[str, Any], sizes: EncoderSizes, dim: int) -> Lfm2Sizes:
        fields = Fields(config, CONFIG)
        fields.refuse("projector_hidden_act", "gelu")
        fields.refuse("vision_feature_layer", -1)
        return Lfm2Sizes(
            merge=fields.count("downsample_factor", self.merge),
            dim=dim,
            hidden=fields.count("projector_hidden_size", 2560),
            norm=bool(fields.get("projector_use_layernorm", True)),
            bias=bool(fields.get("projector_bias", True)),
        )

    def to_hf(self, sizes: EncoderSizes, joint: Lfm2Sizes) -> dict[str, Any]:
        return {
            "downsample_factor": joint.merge,
            "projector_bias": joint.bias,
            "projector_hidden_act": "gelu",
            "projector_hidden_size": joint.hidden,
            "projector_use_layernorm": joint.norm,
        }

    def from_gguf(self, fields: Fields, shapes: Shapes, dim: int) -> Lfm2Sizes:
        if len(shapes.get(_UP, ())) != 2:
            raise FormatError(f"tensor {_UP!r} is missing or not a matrix; the file is incomplete")
        merge = fields.count(self.merge_key, self.merge)
        return Lfm2Sizes(merge, dim, shapes[_UP][1], _NORM in shapes, "mm.1.bias" in shapes)

    def to_gguf(self, joint: Lfm2Sizes) -> dict[str, Any]:
        if not joint.bias:
            raise UnsupportedError("projector_bias is false; llama.cpp reads LFM2-VL only with biases")
        return super().to_gguf(joint)

    def processor_sizes(self, sizes: EncoderSizes, joint: Lfm2Sizes) -> dict[str, Any]:
        return {"encoder_patch_size": sizes.patch, "downsample_factor": joint.merge}

    def images_to_hf(self, images: Natural, sizes: EncoderSizes, joint: Lfm2Sizes) -> dict[str, Any]:
        size = {"height": images.edge, "width": images.edge}
        return {**super().images_to_hf(images, sizes, joint), "size": size}

    def usual_images(self, sizes: EncoderSizes, joint: Lfm2Sizes) -> dict[str, Any]:
        return {field: usual for field, (_, usual) in self.hf_rule.items()}

    def tensors(self, sizes: EncoderSizes, joint: Lfm2Sizes) -> list[TensorName]:
        inputs = sizes.dim * joint.merge**2
        names = norm("projector.norm", "layer_norm", "mm.input_norm", inputs) if joint.norm else []
        for role, hf, gguf, rows, width in (
            ("projector.up", "linear_1", "mm.1", joint.hidden, inputs),
            ("projector.down", "linear_2", "mm.2", joint.dim, joint.hidden),
        ):
            names += linear(role, hf, gguf, rows, width)[: 2 if joint.bias else 1]
        return names

    def graph(self, sizes: EncoderSizes, joint: Lfm2Sizes, g: GraphBuilder, states: list[Value]) -> Value:
        (x,) = states
        x = g.merge(x, joint.merge)
        if joint.norm:
            x = g.layer_norm(x, "projector.norm", "projector.norm_bias", NORM_EPS)
        x = g.act(g.matmul(x, "projector.up", bias="projector.up_bias" if joint.bias else None), "gelu_erf")
        return g.matmul(x, "projector.down", bias="projector.down_bias" if joint.bias else None)


projector = Lfm2()
