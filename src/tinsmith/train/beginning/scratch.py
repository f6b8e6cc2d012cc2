"""A new, small model before it is trained: its tokenizer, its shape and its first weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tinsmith.data.readers import Example
from tinsmith.errors import InputError, MissingExtraError
from tinsmith.models import family
from tinsmith.spec import EncoderSizes, ProjectorSizes, Spec, Tensor, Tokenizer, Vision
from tinsmith.train.beginning.shape import shape
from tinsmith.train.beginning.vocabulary import train_tokenizer
from tinsmith.train.options import ScratchOptions
from tinsmith.vision.idefics3 import projector
from tinsmith.vision.image_rules import Tiles
from tinsmith.vision.parts import tensors_of, tokens_of

if TYPE_CHECKING:
    from tinsmith.data.images import ImageSource
    from tinsmith.tensor_names import TensorName

LOOKED_AT = 256  # pictures at most, for their mean and deviation
FLATTEST = 0.05  # deviation, of pictures that are nearly one colour
FASTEST, SLOWER = 2.0, 100.0  # radians from one patch to the next, and how many times fewer at the slowest
Colour = tuple[float, float, float]

# ChatML, written so that nothing but the roles and their texts is in it.
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# The same of contents that may be parts, with Idefics3's placeholder for a picture.
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
    """An untrained model, its tokenizer trained on the examples and texts.

    Weights are drawn from a normal distribution of the deviation 1 / sqrt(inputs), so that every layer gives
    values of about the size that it takes; norms are 1. Raises InputError where the shape is impossible,
    MissingExtraError without numpy or tokenizers.
    """
    shown = [picture for example in examples for picture in example.images]
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
    Raises InputError for an image that is not cut into whole tokens, DataError for a damaged one."""
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
    pictures = Tiles("lanczos", mean, deviation, edge=given.image_size, longest=given.image_size, split=False)
    tokens = tokens_of(projector, {}, tokenizer, "the new tokenizer")
    joint = ProjectorSizes(given.patch_merge, dim)
    empty = Vision(projector.encoder, sizes, projector.name, joint, {}, tokens, pictures)
    tensors = _drawn(tensors_of(empty), seed + 1)
    return replace(empty, tensors={**tensors, "positions": _places(side, wide)})


def _places(side: int, width: int) -> Tensor:
    """Where each patch lies: sines and cosines of its row and of its column, in all as large as what it shows
    (Beyer et al., arXiv 2205.01580, have them fixed; here they are learned on).

    Drawn like other weights they are a tenth of that, and it takes thousands of pictures longer until a model
    that reads several signs looks where the next one stands."""
    import numpy as np  # _levels says if it is missing

    from tinsmith.train.tensors import from_float32

    turns = FASTEST / SLOWER ** np.linspace(0, 1, width // 4, endpoint=False)
    angles = np.arange(side)[:, None] * turns
    waves = np.concatenate([np.sin(angles), np.cos(angles)], 1) * 2**0.5
    down, across = np.repeat(waves, side, 0), np.tile(waves, (side, 1))
    return from_float32(np.concatenate([down, across], 1).astype(np.float32))


def _levels(shown: Sequence[ImageSource]) -> tuple[Colour, Colour]:
    """Mean and deviation of red, green and blue over some of the pictures, of 1.

    With a half for both, pages of light paper are nearly the same rows, whatever is written on them, and for
    thousands of pictures nothing but the answers' shares is learned."""
    try:
        import numpy as np
    except ImportError as error:
        raise MissingExtraError(error.name or "numpy", "train") from None
    sums = np.zeros((2, 3))
    for picture in (some := shown[:: -(-len(shown) // LOOKED_AT)]):
        levels = np.asarray(picture.pixels(), np.float64) / 255
        sums += levels.mean((0, 1)), (levels**2).mean((0, 1))
    mean, square = sums / len(some)
    deviation = np.sqrt(np.maximum(square - mean**2, FLATTEST**2))
    red, green, blue = zip(mean.round(4).tolist(), deviation.round(4).tolist(), strict=True)
    return (red[0], green[0], blue[0]), (red[1], green[1], blue[1])


def _texts(examples: Sequence[Example], texts: Sequence[str], system: str) -> Iterator[str]:
    """All that the model will read and write, cut where control tokens stand."""
    for example in examples:
        if system:
            yield f"system\n{system}"
        yield from (f"{turn.role}\n{turn.content}" for turn in example.turns)
        yield f"user\n{example.input}"
        yield f"assistant\n{example.output}"
    yield from texts


def _drawn(names: Sequence[TensorName], seed: int) -> dict[str, Tensor]:
    """As `start` says; biases are 0."""
    try:
        import numpy as np

        from tinsmith.train.tensors import from_float32
    except ImportError as error:
        raise MissingExtraError(error.name or "numpy", "train") from None
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
