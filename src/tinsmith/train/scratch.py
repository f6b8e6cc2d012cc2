"""A new, small model before it is trained: its tokenizer, its shape and its first weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tinsmith.data.readers import Example
from tinsmith.errors import MissingExtraError
from tinsmith.models import family
from tinsmith.spec import Spec, Tensor
from tinsmith.train.options import ScratchOptions
from tinsmith.train.shape import shape
from tinsmith.train.vocabulary import train_tokenizer

if TYPE_CHECKING:
    from tinsmith.models.llama import LlamaHyper

# ChatML, written so that nothing but the roles and their texts is in it.
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
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
    tokenizer = train_tokenizer(_texts(examples, texts, system), given.vocabulary)
    hyper = shape(given, len(tokenizer.tokens))
    return Spec("llama", hyper, _weights(hyper, seed), tokenizer, TEMPLATE, {"name": name})


def _texts(examples: Sequence[Example], texts: Sequence[str], system: str) -> Iterator[str]:
    """All that the model will read and write, cut where control tokens stand."""
    for example in examples:
        if system:
            yield f"system\n{system}"
        yield from (f"{turn.role}\n{turn.content}" for turn in example.turns)
        yield f"user\n{example.input}"
        yield f"assistant\n{example.output}"
    yield from texts


def _weights(hyper: LlamaHyper, seed: int) -> dict[str, Tensor]:
    try:
        import numpy as np

        from tinsmith.train.tensors import from_float32
    except ImportError as error:
        raise MissingExtraError(error.name or "numpy", "train") from None
    chance = np.random.default_rng(seed)
    weights = {}
    for name in family.by_name("llama").tensors(hyper):
        if name.rows == 1:
            weights[name.role] = from_float32(np.ones((1, name.inputs), np.float32))
        else:
            drawn = chance.standard_normal((name.rows, name.inputs), np.float32)
            weights[name.role] = from_float32(drawn / np.float32(name.inputs**0.5))
    return weights
