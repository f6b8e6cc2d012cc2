"""A new, small model before training: its tokenizer, shape and initial weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from tinsmith.data.images import ImageSource
from tinsmith.data.readers import Example
from tinsmith.errors import InputError, MissingExtraError
from tinsmith.models import family
from tinsmith.spec import EncoderSizes, ProjectorSizes, Spec, Tensor, Tokenizer, Vision
from tinsmith.tensor_names import TensorName
from tinsmith.train.beginning.shape import shape
from tinsmith.train.beginning.vocabulary import train_tokenizer
from tinsmith.train.options import ScratchOptions
from tinsmith.train.tensors import from_float32
from tinsmith.vision.idefics3 import projector
from tinsmith.vision.image_rules import Tiles
from tinsmith.vision.parts import tensors_of, tokens_of

LOOKED_AT = 256  # images at most, for the mean and deviation of their pixels
FLATTEST = 0.05  # least deviation, for images of nearly one colour
FASTEST, SLOWER = 2.0, 100.0  # radians from one patch to the next at the fastest, and the ratio to the slowest

# ChatML with nothing but roles and their texts.
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# The same for contents in parts, with Idefics3's image placeholder.
SEEING_TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for part in m['content'] %}{{ '<image>' if part['type'] == 'image' else part['text'] }}{% endfor %}"
    "{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def start(
    given: ScratchOptions, examples: Sequence[Example], texts: Sequence[str], system: str, seed: int, name: str
) -> Spec:
    """An untrained model, and its tokenizer trained on the examples and texts.

    Weights are normally distributed with deviation 1 / sqrt(inputs), so that every layer keeps the scale of its
    input; norms are 1. Raises InputError for an impossible shape, MissingExtraError without numpy or
    tokenizers.
    """
    if find_spec("numpy") is None:
        raise MissingExtraError("numpy", "train")
    shown = [image for example in examples for image in example.images]
    more = tuple(projector.token_texts.values()) if shown else ()
    tokenizer = train_tokenizer(_texts(examples, texts, system), given.vocabulary, more)
    hyper = shape(given, len(tokenizer.tokens))
    weights = _drawn(family.by_name("llama").tensors(hyper), seed)
    template = SEEING_TEMPLATE if shown else TEMPLATE
    vision = start_vision(given, hyper.dim, tokenizer, seed, shown) if shown else None
    return Spec("llama", hyper, weights, tokenizer, template, {"name": name}, vision=vision)


def start_vision(
    given: ScratchOptions, dim: int, tokenizer: Tokenizer, seed: int, shown: Sequence[ImageSource]
) -> Vision:
    """An untrained vision encoder and projector for a language model of width `dim` and images like `shown`.

    Raises InputError for an image size that does not divide into tokens, DataError for a damaged image.
    """
    side = given.image_size // given.patch_size
    if given.image_size % (given.patch_size * given.patch_merge):
        raise InputError(
            f"[scratch] image_size = {given.image_size} is no multiple of patch_size * patch_merge, which is "
            f"{given.patch_size * given.patch_merge}; give one"
        )
    wide = given.vision_hidden
    sizes = EncoderSizes(
        given.vision_layers, wide, 4 * wide, wide // 32, given.patch_size, side, 1e-6, "gelu_tanh"
    )
    mean, deviation = _levels(shown)
    image_rules = Tiles(
        "lanczos", mean, deviation, edge=given.image_size, longest=given.image_size, split=False
    )
    tokens = tokens_of(projector, {}, tokenizer, "the new tokenizer")
    joint = ProjectorSizes(given.patch_merge, dim)
    empty = Vision(projector.encoder, sizes, projector.name, joint, {}, tokens, image_rules)
    tensors = _drawn(tensors_of(empty), seed + 1)
    return replace(empty, tensors={**tensors, "positions": _places(side, wide)})


def _places(side: int, width: int) -> Tensor:
    """Position embeddings: sines and cosines of a patch's row and column, as large as the patch embeddings
    (Beyer et al., arXiv 2205.01580, keep them fixed; here training continues from them).

    Random ones are a tenth as large, and a model that reads several signs then needs thousands more images to
    learn where the next sign is."""
    import numpy as np

    turns = FASTEST / SLOWER ** np.linspace(0, 1, width // 4, endpoint=False)
    angles = np.arange(side)[:, None] * turns
    waves = np.concatenate([np.sin(angles), np.cos(angles)], 1) * 2**0.5
    down, across = np.repeat(waves, side, 0), np.tile(waves, (side, 1))
    return from_float32(np.concatenate([down, across], 1).astype(np.float32))


def _levels(shown: Sequence[ImageSource]) -> tuple[Any, Any]:
    """Mean and deviation of red, green and blue over a sample of the images, on a scale from 0 to 1.

    With 0.5 for both, all pages of light paper look nearly alike, and for thousands of images the model learns
    only how frequent each answer is."""
    import numpy as np

    sums = np.zeros((2, 3))
    for image in (sample := shown[:: -(-len(shown) // LOOKED_AT)]):
        levels = np.asarray(image.pixels(), np.float64) / 255
        sums += levels.mean((0, 1)), (levels**2).mean((0, 1))
    mean, square = sums / len(sample)
    deviation = np.sqrt(np.maximum(square - mean**2, FLATTEST**2))
    return tuple(mean.round(4).tolist()), tuple(deviation.round(4).tolist())


def _texts(examples: Sequence[Example], texts: Sequence[str], system: str) -> Iterator[str]:
    """All text that the model will read and write, split at control tokens."""
    for example in examples:
        if system:
            yield f"system\n{system}"
        yield from (f"{turn.role}\n{turn.content}" for turn in example.turns)
        yield f"user\n{example.input}"
        yield f"assistant\n{example.output}"
    yield from texts


def _drawn(names: Sequence[TensorName], seed: int) -> dict[str, Tensor]:
    """Random weights as in `start`; biases are 0."""
    import numpy as np

    chance = np.random.default_rng(seed)
    weights = {}
    for name in names:
        if name.rows == 1:
            fill = np.float32(not name.role.endswith("_bias"))
            weights[name.role] = from_float32(np.full((1, name.inputs), fill, np.float32))
        else:
            drawn = chance.standard_normal((name.rows, name.inputs), np.float32)
            weights[name.role] = from_float32(drawn / np.float32(name.inputs**0.5))
    return weights
