"""The interface of projectors, and the registry of vision encoders and projectors.

An encoder is a module of this folder with an instance of Siglip named `encoder`; a projector, with an instance
of Projector named `projector`. A projector names its encoder. A new module registers itself. GGUF names and
metadata follow llama.cpp's clip: a separate file beside the language model's, usually called mmproj."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.fields import Fields
from tinsmith.spec import EncoderSizes, ImageRules, ProjectorSizes, Tensor, Tokenizer, Vision
from tinsmith.system.plugins import instances
from tinsmith.tensor_names import TensorName
from tinsmith.vision.image_rules import common_from_hf, within
from tinsmith.vision.siglip import Siglip

if TYPE_CHECKING:
    from tinsmith.graph import GraphBuilder, Value

CONFIG = "config.json"
_MOST = {"layers": 1024, "patch": 256, "side": 1024, "heads": 1024}  # limits of an encoder's sizes
_EDGES = {"edge": 4096, "longest": 16384}  # limits of an image rule in pixels, as in tin_pixels_size
Shapes = Mapping[str, tuple[int, ...]]  # by tensor name, innermost dimension first, as in GGUF


class View(NamedTuple):
    """An image at one size: `across` by `down` tiles of `tokens` states each."""

    across: int
    down: int
    tokens: int


class Written(NamedTuple):
    """The texts around an image's tokens in a prompt, one token a state.

    A tiled image has `tiled`; for each tile `row`, its number, `column`, its number, `tile`; `row_end` after a
    row of tiles; `tiles_end` after the last; `whole` where the whole image follows; `tiled_end`. Any other has
    `alone` and `alone_end`."""

    alone: str
    alone_end: str
    tiled: str = ""
    row: str = ""
    column: str = ""
    tile: str = ""
    row_end: str = ""
    tiles_end: str = ""
    whole: str = ""
    tiled_end: str = ""


class Projector(ABC):
    """The part between encoder and language model. Its tensors' roles begin with `projector.`; their Hugging
    Face names are relative to hf_projector."""

    name: ClassVar[str]
    encoder: ClassVar[str]
    joint: ClassVar[type[ProjectorSizes]] = ProjectorSizes
    # The architectures to read; and to write, by the language model's model_type ("" for any other): the
    # architecture, and the model_types of the model and of vision_config.
    hf_architectures: ClassVar[tuple[str, ...]]
    hf_written: ClassVar[Mapping[str, tuple[str, str, str]]]
    # text_config's model_type by the model_type of the language model alone, where they differ.
    hf_text: ClassVar[Mapping[str, str]] = {}
    # Prefixes of the tensors of encoder, projector and language model. The first is written, all are read.
    hf_encoder: ClassVar[tuple[str, ...]]
    hf_projector: ClassVar[tuple[str, ...]]
    hf_language: ClassVar[str]
    hf_head: ClassVar[str] = "lm_head.weight"
    # The config class's defaults of vision_config.
    vision_defaults: ClassVar[Mapping[str, Any]] = {}
    # processor_config.json's key of the number of an image's tokens, if it has one.
    hf_tokens: ClassVar[str] = ""
    # The image rule, and the default filter of the resize. In preprocessor_config.json: the key of each of the
    # rule's other fields ("size.longest_edge" is within a table) with its default, None if it must be stated;
    # and fixed values.
    rule: ClassVar[type[ImageRules]]
    filter: ClassVar[str]
    hf_rule: ClassVar[Mapping[str, tuple[str, Any]]]
    hf_processor: ClassVar[Mapping[str, Any]]
    # clip.vision's keys of the rule's fields, where it has them.
    gguf_rule: ClassVar[Mapping[str, str]] = {}
    # The tokens' texts, and config.json's keys of their ids, by the projector's names of them. Only `image` is
    # required.
    token_texts: ClassVar[Mapping[str, str]]
    token_keys: ClassVar[Mapping[str, str]]
    # The tokenizer's attributes that the processor reads, by the projector's names of the tokens.
    tokenizer_keys: ClassVar[Mapping[str, str]] = {}
    # clip.projector_type, and clip.vision's key of `merge` with its default.
    clip_type: ClassVar[str]
    merge_key: ClassVar[str] = "projector.scale_factor"
    merge: ClassVar[int]
    # The text that a chat template leaves out before a message that begins with an image.
    dropped: ClassVar[str] = ""

    @abstractmethod
    def from_hf(self, config: Mapping[str, Any], sizes: EncoderSizes, dim: int) -> ProjectorSizes:
        """From the config of a checkpoint whose language model is `dim` wide."""

    @abstractmethod
    def to_hf(self, sizes: EncoderSizes, joint: Any) -> dict[str, Any]:
        """The config's keys for the projector."""

    def from_gguf(self, fields: Fields, shapes: Shapes, dim: int) -> ProjectorSizes:
        """From metadata without the prefix clip.vision."""
        return ProjectorSizes(fields.count(self.merge_key, self.merge), dim)

    def to_gguf(self, joint: Any) -> dict[str, Any]:
        """The inverse of from_gguf, but for values that follow from the tensors. Raises UnsupportedError for
        what llama.cpp does not read."""
        return {self.merge_key: joint.merge}

    def texts(self, word: Mapping[str, str]) -> Written:
        """The processor's texts around an image. word: the tokens' texts by name."""
        return Written(word["begin"], word["end"])

    def written(self, word: Mapping[str, str], views: Sequence[View]) -> str:
        """An image's text in a prompt, with the image token once a state. views: tiles, if any, then the whole
        image. kernels/core/vision/written.c writes the same."""
        texts, image, first = self.texts(word), word["image"], views[0]
        if len(views) == 1 and first.across * first.down == 1:
            return texts.alone + image * first.tokens + texts.alone_end
        text = texts.tiled
        for row in range(1, first.down + 1):
            for column in range(1, first.across + 1):
                text += f"{texts.row}{row}{texts.column}{column}{texts.tile}" + image * first.tokens
            text += texts.row_end
        text += texts.tiles_end
        if len(views) > 1:
            text += texts.whole + image * views[1].tokens
        return text + texts.tiled_end

    def processor_sizes(self, sizes: EncoderSizes, joint: Any) -> dict[str, Any]:
        """preprocessor_config.json's keys that follow from the sizes."""
        return {}

    def images_from_hf(self, processor: Fields, sizes: EncoderSizes, joint: Any) -> ImageRules:
        """From preprocessor_config.json."""
        for key, wanted in self.processor_sizes(sizes, joint).items():
            processor.refuse(key, wanted)
        values: dict[str, Any] = common_from_hf(processor, self.filter)
        types = {field.name: field.type for field in fields(self.rule)}
        for name, (path, usual) in self.hf_rule.items():
            table, _, key = path.rpartition(".")
            given = within(processor, table) if table else processor
            if types[name] == "bool":
                values[name] = bool(given.get(key, usual))
            else:
                values[name] = (given.count if types[name] == "int" else given.real)(key, usual)
        return self.rule(**values)

    def images_to_hf(self, images: Any, sizes: EncoderSizes, joint: Any) -> dict[str, Any]:
        """The whole preprocessor_config.json but for mean, std and filter."""
        written = {**self.hf_processor, **self.processor_sizes(sizes, joint)}
        for name, (path, _) in self.hf_rule.items():
            table, _, key = path.rpartition(".")
            (written.setdefault(table, {}) if table else written)[key] = getattr(images, name)
        return written

    @abstractmethod
    def usual_images(self, sizes: EncoderSizes, joint: Any) -> dict[str, Any]:
        """The values of the rule's fields but filter, mean and std that llama.cpp has built in."""

    @abstractmethod
    def tensors(self, sizes: Any, joint: Any) -> list[TensorName]:
        """Every tensor at this size, in the order a file has them."""

    @abstractmethod
    def graph(self, sizes: Any, joint: Any, g: GraphBuilder, states: list[Value]) -> Value:
        """The language model's inputs from an encoder's states: in each row the embedding, then any further
        parts of the same width (GraphBuilder.given)."""

    def from_graph(self, joint: Any, tensors: dict[str, Tensor]) -> None:  # noqa: B027 (most replace none)
        """Restores the tensors that the graph replaced."""


@cache
def encoders() -> dict[str, Siglip]:
    return {part.name: part for part in instances("tinsmith.vision", "encoder", Siglip)}


@cache
def projectors() -> dict[str, Projector]:
    return {part.name: part for part in instances("tinsmith.vision", "projector", Projector)}


def by_architecture(architecture: str) -> Projector | None:
    """The projector of a Hugging Face architecture; None for one without a known vision model."""
    return next((one for one in projectors().values() if architecture in one.hf_architectures), None)


def by_clip_type(clip_type: str, where: str) -> Projector:
    """The projector of a GGUF file's clip.projector_type."""
    for one in projectors().values():
        if one.clip_type == clip_type:
            return one
    known = ", ".join(one.clip_type for one in projectors().values())
    raise UnsupportedError(f"{where}: clip.projector_type {clip_type!r} is not supported; supported: {known}")


def tokens_of(
    projector: Projector, given: Mapping[str, Any], tokenizer: Tokenizer, where: str
) -> dict[str, int]:
    """Token ids by the projector's names: the given ones, and the others that the vocabulary has."""
    ids = {text: token for token, text in enumerate(tokenizer.tokens)}
    found = {word: ids[text] for word, text in projector.token_texts.items() if text in ids}
    fields = Fields(given, where)
    found |= {word: fields.count(word) for word in projector.token_texts if given.get(word) is not None}
    if "image" not in found or max(found.values()) >= len(tokenizer.tokens):
        raise FormatError(
            f"{where}: the placeholder token {projector.token_texts['image']!r} of images is missing, or "
            f"outside the vocabulary of {len(tokenizer.tokens)}"
        )
    return {word: found[word] for word in projector.token_texts if word in found}


def parts_of(vision: Vision) -> tuple[Siglip, Projector]:
    if vision.encoder not in encoders() or vision.projector not in projectors():
        raise UnsupportedError(
            f"encoder {vision.encoder!r} with projector {vision.projector!r} is not supported; encoders: "
            f"{', '.join(encoders())}; projectors: {', '.join(projectors())}"
        )
    return encoders()[vision.encoder], projectors()[vision.projector]


def checked(vision: Vision, where: str) -> Vision:
    """The same vision model. Raises FormatError for invalid sizes and image rules: readers use the sizes before
    they read any tensor."""
    sizes, rules = vision.sizes, vision.image_rules
    limits = [(name, getattr(sizes, name), most) for name, most in _MOST.items()]
    limits += [(name, getattr(rules, name, 1), most) for name, most in _EDGES.items()]
    limits.append(("merge", vision.joint.merge, sizes.side))
    for name, given, most in limits:
        if not 0 < given <= most:
            raise FormatError(f"{where}: a vision model of {name} {given}; it must be from 1 to {most}")
    if sizes.dim % sizes.heads:
        raise FormatError(f"{where}: the encoder's width {sizes.dim} is no multiple of its {sizes.heads} heads")
    deep = getattr(sizes, "deep", ())
    if list(deep) != sorted(set(deep)) or not all(layer < sizes.layers for layer in deep):
        raise FormatError(f"{where}: states of layers {list(deep)}; give some of {sizes.layers}, in order")
    if not all(0 < one < math.inf for one in rules.std):
        raise FormatError(f"{where}: the images' std is {list(rules.std)}; each must be more than 0")
    return vision


def tensors_of(vision: Vision) -> list[TensorName]:
    """The tensors of encoder and projector, with full names."""
    encoder, projector = parts_of(vision)
    parts = (
        (projector.hf_encoder[0], encoder.tensors(vision.sizes)),
        (projector.hf_projector[0], projector.tensors(vision.sizes, vision.joint)),
    )
    return [replace(name, hf=prefix + name.hf) for prefix, names in parts for name in names]
