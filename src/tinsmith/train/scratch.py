"""Training all of a new, small model: its tokenizer, its first weights, and the run that makes it one.

The same texts, options and machine give the same model, whether or not training was interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tinsmith.data.readers import Example
from tinsmith.errors import InputError, MissingExtraError
from tinsmith.models import family
from tinsmith.spec import Spec, Tensor
from tinsmith.train.options import Event, ScratchOptions, TrainOptions, TrainResult
from tinsmith.train.sequences import Encode, Tokenization, text_sequences
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


def train(
    spec: Spec,
    examples: Sequence[Example],
    validation: Sequence[Example],
    texts: Sequence[str],
    options: TrainOptions,
    out_dir: Path,
    encode: Encode,
    on_event: Callable[[Event], None] = lambda event: None,
) -> TrainResult:
    """Trains every weight of `spec` and writes the best model by validation to out_dir/trained, a Hugging Face
    folder.

    The loss is on the examples' answers and on all of the texts. encode: text to ids, specials recognized.
    A checkpoint in out_dir of the same spec, data and options is taken up. Raises InputError or DataError for
    examples that don't fit, MissingExtraError without torch and transformers.
    """
    if not examples or not validation:
        raise InputError("training needs at least one training example and one validation example")
    try:
        import torch
        import transformers  # noqa: F401

        from tinsmith.train.scratch_loop import ScratchLoop
    except ImportError as error:
        raise MissingExtraError(error.name or "torch", "train") from None
    if options.threads:
        torch.set_num_threads(options.threads)
    length, limit = min((options.max_length, "max_length"), (spec.hyper.context, "context"))
    tokenize = Tokenization(spec, encode, options.task, options.system, length, limit)
    sequences = [*tokenize(examples), *text_sequences(texts, encode, spec.tokenizer, length)]
    return ScratchLoop(spec, sequences, tokenize(validation), options, out_dir, on_event).finish()
