"""LoRA training: from examples to an adapter folder in peft's format, resumable after a kill at any moment.

The same spec, examples, options and machine give the same adapter, whether or not training was interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tinsmith.data.readers import Example
from tinsmith.errors import InputError, MissingExtraError
from tinsmith.spec import Spec
from tinsmith.train.options import Event, Started, Step, TrainOptions, TrainResult, Validated
from tinsmith.train.sequences import Encode, Tokenization

__all__ = ["Event", "Started", "Step", "TrainOptions", "TrainResult", "Validated", "train"]


def train(
    spec: Spec,
    examples: Sequence[Example],
    validation: Sequence[Example],
    options: TrainOptions,
    out_dir: Path,
    encode: Encode,
    on_event: Callable[[Event], None] = lambda event: None,
) -> TrainResult:
    """Trains an adapter of the base `spec` and writes the best one by validation to out_dir/adapter, with the
    chat template that it was trained under.

    encode: text to the base's token ids, special tokens recognized. A checkpoint in out_dir of the same spec,
    data and options is taken up; one of others is thrown away. Raises InputError or DataError for examples that
    don't fit, MissingExtraError without torch and peft.
    """
    if not examples or not validation:
        raise InputError("training needs at least one training example and one validation example")
    try:
        import peft  # noqa: F401
        import torch
        import transformers  # noqa: F401

        from tinsmith.train.lora_loop import LoraLoop
    except ImportError as error:
        raise MissingExtraError(error.name or "torch", "train") from None
    if options.threads:
        torch.set_num_threads(options.threads)
    tokenize = Tokenization(spec, encode, options.task, options.system, options.max_length)
    return LoraLoop(spec, tokenize(examples), tokenize(validation), options, out_dir, on_event).finish()
