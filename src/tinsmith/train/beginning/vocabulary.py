"""A tokenizer trained on the user's own text: byte-level BPE, by the library `tokenizers`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from tinsmith.errors import MissingExtraError
from tinsmith.spec import Tokenizer

# The end of a text, and the begin and end of a turn.
CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
LEAST = len(CONTROL) + 256  # every byte is a token, so any text can be encoded
_ROUND = 32  # the vocabulary is the rows of a matrix, which is packed in tiles


def train_tokenizer(texts: Iterable[str], size: int, more: Sequence[str] = ()) -> Tokenizer:
    """A tokenizer of at most `size` tokens: fewer if the texts have fewer pairs to merge, padded with unused
    tokens to a multiple of 32.

    more: further control tokens. Words are split as SmolLM's tokenizer does: single digits, then GPT-2's
    pattern. Equal texts in equal order give equal tokens. Raises MissingExtraError without `tokenizers`.
    """
    try:
        import tokenizers
        from tokenizers import models, pre_tokenizers, trainers
    except ImportError as error:
        raise MissingExtraError(error.name or "tokenizers", "train") from None
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[*CONTROL, *more],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    made.train_from_iterator(texts, trainer)
    return _tokenizer(json.loads(made.to_str())["model"], size, len(CONTROL) + len(more))


def _tokenizer(model: dict[str, Any], size: int, control: int) -> Tokenizer:
    """control: the number of control tokens, which come first."""
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    unused = min(-len(tokens) % _ROUND, max(0, size - len(tokens)))
    end, _, turn_end = range(len(CONTROL))
    return Tokenizer(
        tokens=[*tokens, *(f"[unused{number}]" for number in range(unused))],
        types=["control"] * control + ["normal"] * (len(tokens) - control) + ["unused"] * unused,
        merges=[tuple(pair) for pair in model["merges"]],
        pre="smollm",
        bos=end,
        eos=turn_end,
        unk=end,
        pad=end,
        add_bos=False,
        end_tokens=(end, turn_end),
    )
