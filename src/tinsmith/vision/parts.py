"""What an encoder and a projector must say of themselves, and the registry of those there are.

An encoder is one module of this folder with an instance of Encoder named `encoder`, a projector one with an
instance of Projector named `projector`. A projector knows which encoder it joins, since the checkpoints that
have it do. Adding a module adds the part; no table lists them. GGUF's names and metadata are those of
llama.cpp's clip: a file of its own beside the language model's, usually called mmproj."""

from __future__ import annotations

import math
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.fields import Fields
from tinsmith.spec import EncoderSizes, ImageRules, ProjectorSizes, Tensor, Tokenizer, Vision
from tinsmith.tensor_names import TensorName

if TYPE_CHECKING:
    from tinsmith.graph import GraphBuilder, Value

CONFIG = "config.json"
# Of an encoder: the layers whose states its projector takes too, as clip's metadata have them, true or false.
DEEP = "is_deepstack_layers"
# Of an encoder.
_MOST = {"layers": 1024, "patch": 256, "side": 1024, "heads": 1024}
_EDGES = {"edge": 4096, "longest": 16384}  # of a rule for images, in pixels: as tin_pixels_size takes them
# Innermost dimension first, as GGUF has it, by a tensor's name.
Shapes = Mapping[str, tuple[int, ...]]


class View(NamedTuple):
    """An image at one size: `across` by `down` tiles, each of `tokens` states."""

    across: int
    down: int
    tokens: int


class Written(NamedTuple):
    """The texts of an image in a prompt, the image token for each state between them. One that is cut into
    tiles: tiled; for each tile row, its number, column, its number, tile; row_end behind a row of tiles,
    tiles_end behind all; whole, where the whole image follows; tiled_end. Any other: alone, alone_end."""

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


class Encoder(ABC):
    """A vision transformer. Its tensors' hf is relative to where a checkpoint keeps the encoder; their gguf is
    whole. Readers raise FormatError for what is missing or nonsensical, UnsupportedError for what the graph
    does not compute."""

    name: ClassVar[str]
    sizes: ClassVar[type[EncoderSizes]] = EncoderSizes

    @abstractmethod
    def from_hf(self, config: Mapping[str, Any]) -> EncoderSizes:
        """From a config's vision_config."""

    @abstractmethod
    def to_hf(self, sizes: Any) -> dict[str, Any]:
        """The vision_config but for its model_type."""

    @abstractmethod
    def tensors(self, sizes: Any) -> list[TensorName]:
        """Every tensor at this size, in the order a file has them."""

    @abstractmethod
    def graph(self, sizes: Any, g: GraphBuilder) -> list[Value]:
        """The states of an image's patches, then those after earlier layers that its projector takes too;
        tensors go by their roles."""

    @abstractmethod
    def from_graph(self, sizes: Any, tensors: dict[str, Tensor]) -> None:
        """Puts back the tensors that the graph made others of."""

    def more_from_gguf(self, fields: Fields, layers: int) -> dict[str, Any]:
        """Further fields of `sizes`, from metadata without clip.vision before their keys."""
        if any(flags_of(fields, DEEP)):
            raise UnsupportedError(f"{fields.named(DEEP)}; encoder {self.name} has no such layers")
        return {}

    def more_to_gguf(self, sizes: Any) -> dict[str, Any]:
        """The inverse of more_from_gguf."""
        return {}


class Projector(ABC):
    """What follows an encoder. Its tensors' roles begin with `projector.`; their hf is relative to
    hf_projector."""

    name: ClassVar[str]
    encoder: ClassVar[str]
    joint: ClassVar[type[ProjectorSizes]] = ProjectorSizes
    # Those that are read; and as they are written, by the language model's model_type, "" for any other: the
    # architecture, the model_type of the whole and that of the vision_config.
    hf_architectures: ClassVar[tuple[str, ...]]
    hf_written: ClassVar[Mapping[str, tuple[str, str, str]]]
    # What text_config calls a language model that by itself is written as another: by its model_type then.
    hf_text: ClassVar[Mapping[str, str]] = {}
    # Where a folder keeps encoder, projector and language model: what their tensors' names begin with. The
    # first is written, all are read.
    hf_encoder: ClassVar[tuple[str, ...]]
    hf_projector: ClassVar[tuple[str, ...]]
    hf_language: ClassVar[str]
    hf_head: ClassVar[str] = "lm_head.weight"
    # What the architectures' own config class has for what a vision_config leaves out.
    vision_defaults: ClassVar[Mapping[str, Any]] = {}
    # Its rule for images, and the filter of the resize where a file does not say.
    rule: ClassVar[type[ImageRules]]
    filter: ClassVar[str]
    # Tokens by the projector's words: as vocabularies have them, and config.json's keys of their ids where it
    # has such. Only `image` must be there.
    token_texts: ClassVar[Mapping[str, str]]
    token_keys: ClassVar[Mapping[str, str]]
    # What the processor's class asks the tokenizer for, by the projector's words of the tokens.
    tokenizer_keys: ClassVar[Mapping[str, str]] = {}
    # clip.projector_type, and which key of clip.vision has `merge` with what it is without.
    clip_type: ClassVar[str]
    merge_key: ClassVar[str] = "projector.scale_factor"
    merge: ClassVar[int]
    # What a chat template leaves out before a content that begins with an image.
    dropped: ClassVar[str] = ""

    @abstractmethod
    def from_hf(self, config: Mapping[str, Any], sizes: EncoderSizes, dim: int) -> ProjectorSizes:
        """From the whole config of a checkpoint whose language model is `dim` wide."""

    @abstractmethod
    def to_hf(self, sizes: EncoderSizes, joint: Any) -> dict[str, Any]:
        """The keys of the whole config that are the projector's."""

    def processor_to_hf(self, sizes: EncoderSizes, joint: Any) -> dict[str, Any]:
        """What processor_config.json says beside its class."""
        return {}

    def from_gguf(self, fields: Fields, shapes: Shapes, dim: int) -> ProjectorSizes:
        """From metadata without clip.vision before their keys."""
        return ProjectorSizes(fields.count(self.merge_key, self.merge), dim)

    def to_gguf(self, joint: Any) -> dict[str, Any]:
        """The inverse of from_gguf, where tensors do not say it. UnsupportedError for what llama.cpp does not
        read."""
        return {self.merge_key: joint.merge}

    def texts(self, word: Mapping[str, str]) -> Written:
        """How its processor writes an image. word: the tokens' texts by what they stand for."""
        return Written(word["begin"], word["end"])

    def written(self, word: Mapping[str, str], views: Sequence[View]) -> str:
        """An image in a prompt, the image token for each state. views: tiles first, where there are such, then
        the whole image. kernels/core/vision/written.c writes the same."""
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

    @abstractmethod
    def images_from_hf(self, processor: Fields, sizes: EncoderSizes, joint: Any) -> ImageRules:
        """From preprocessor_config.json."""

    @abstractmethod
    def images_to_hf(self, images: Any, sizes: EncoderSizes, joint: Any) -> dict[str, Any]:
        """The whole preprocessor_config.json but for mean, std and filter."""

    @abstractmethod
    def usual_images(self, fields: Fields, sizes: EncoderSizes, joint: Any) -> dict[str, Any]:
        """The rule's fields but mean and std, as llama.cpp takes them: from metadata without clip.vision before
        their keys, and from what it has built in for the projector."""

    def images_to_gguf(self, images: Any) -> dict[str, Any]:
        """Metadata of images that llama.cpp reads, without clip.vision before their keys."""
        return {}

    @abstractmethod
    def tensors(self, sizes: Any, joint: Any) -> list[TensorName]:
        """Every tensor at this size, in the order a file has them."""

    @abstractmethod
    def graph(self, sizes: Any, joint: Any, g: GraphBuilder, states: list[Value]) -> Value:
        """What the language model takes of an encoder's states: embeddings, and behind them in a row the other
        parts that it has, each as wide (GraphBuilder.given)."""

    def from_graph(self, joint: Any, tensors: dict[str, Tensor]) -> None:  # noqa: B027 (most make none)
        """Puts back the tensors that the graph made others of."""


@cache
def encoders() -> dict[str, Encoder]:
    return {part.name: part for part in _parts("encoder", Encoder)}


@cache
def projectors() -> dict[str, Projector]:
    return {part.name: part for part in _parts("projector", Projector)}


def by_architecture(architecture: str) -> Projector | None:
    """The projector of a Hugging Face architecture; None where it has no vision model that is known."""
    return next((one for one in projectors().values() if architecture in one.hf_architectures), None)


def by_clip_type(clip_type: str, where: str) -> Projector:
    """The projector of a GGUF file's clip.projector_type."""
    for one in projectors().values():
        if one.clip_type == clip_type:
            return one
    known = ", ".join(one.clip_type for one in projectors().values())
    raise UnsupportedError(f"{where}: clip.projector_type {clip_type!r} is not supported; supported: {known}")


def flags_of(fields: Fields, key: str) -> list[bool]:
    given = fields.get(key, [])
    if isinstance(given, list) and all(isinstance(one, bool) for one in given):
        return given
    raise FormatError(f"{fields.named(key)}; it must be a list of truths")


def tokens_of(
    projector: Projector, given: Mapping[str, Any], tokenizer: Tokenizer, where: str
) -> dict[str, int]:
    """Ids by the projector's words: those that are given, and of the others those that the vocabulary has."""
    ids = {text: token for token, text in enumerate(tokenizer.tokens)}
    found = {word: ids[text] for word, text in projector.token_texts.items() if text in ids}
    fields = Fields(given, where)
    found |= {word: fields.count(word) for word in projector.token_texts if given.get(word) is not None}
    if "image" not in found or max(found.values()) >= len(tokenizer.tokens):
        raise FormatError(
            f"{where}: no token {projector.token_texts['image']!r} for an image's place, or one that is "
            f"outside the vocabulary of {len(tokenizer.tokens)}"
        )
    return {word: found[word] for word in projector.token_texts if word in found}


def parts_of(vision: Vision) -> tuple[Encoder, Projector]:
    if vision.encoder not in encoders() or vision.projector not in projectors():
        raise UnsupportedError(
            f"encoder {vision.encoder!r} with projector {vision.projector!r} is not supported; encoders: "
            f"{', '.join(encoders())}; projectors: {', '.join(projectors())}"
        )
    return encoders()[vision.encoder], projectors()[vision.projector]


def checked(vision: Vision, where: str) -> Vision:
    """Itself. Raises FormatError for sizes that no encoder has, and rules that cut no image: a file may say
    anything, and by sizes names are made before its tensors are looked at."""
    sizes = vision.sizes
    for name, most in _MOST.items():
        given = getattr(sizes, name)
        if not 0 < given <= most:
            raise FormatError(f"{where}: a vision encoder of {name} {given}; it must be from 1 to {most}")
    if sizes.dim % sizes.heads:
        raise FormatError(f"{where}: the encoder's width {sizes.dim} is no multiple of its {sizes.heads} heads")
    deep = getattr(sizes, "deep", ())
    if list(deep) != sorted(set(deep)) or not all(layer < sizes.layers for layer in deep):
        raise FormatError(
            f"{where}: states are taken after layers {list(deep)}; they must be of the encoder's "
            f"{sizes.layers}, in order"
        )
    if not all(0 < one < math.inf for one in vision.image_rules.std):
        raise FormatError(
            f"{where}: images' values are divided by {list(vision.image_rules.std)}; each must be more than 0"
        )
    for name, most in _EDGES.items():
        given = getattr(vision.image_rules, name, 1)
        if not 0 < given <= most:
            raise FormatError(f"{where}: images of {name} {given}; it must be from 1 to {most}")
    if not 0 < vision.joint.merge <= sizes.side:
        raise FormatError(
            f"{where}: {vision.joint.merge} patches a side make a token; it must be from 1 to {sizes.side}"
        )
    return vision


def tensors_of(vision: Vision) -> list[TensorName]:
    """Of encoder and projector, with their whole names."""
    encoder, projector = parts_of(vision)
    own = _within(projector.hf_encoder[0], encoder.tensors(vision.sizes))
    return own + _within(projector.hf_projector[0], projector.tensors(vision.sizes, vision.joint))


def _within(prefix: str, names: list[TensorName]) -> list[TensorName]:
    return [replace(name, hf=prefix + name.hf) for name in names]


def _parts(name: str, kind: type) -> list[Any]:
    package = import_module("tinsmith.vision")
    modules = (import_module(f"{package.__name__}.{m.name}") for m in pkgutil.iter_modules(package.__path__))
    found = (getattr(module, name, None) for module in modules)
    return sorted((part for part in found if isinstance(part, kind)), key=lambda part: part.name)
