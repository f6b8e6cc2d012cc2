"""A calibration text as windows of tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from tinsmith.errors import InputError
from tinsmith.spec import Spec

WINDOW = 256  # tokens: attention costs little, and most of a text is seen with some context


def tokens(spec: Spec, text: str) -> list[int]:
    """By the model's own tokenizer; special tokens that the text spells are those tokens."""
    return tokenizer(spec)(text)


def tokenizer(spec: Spec) -> Callable[[str], list[int]]:
    """What `tokens` does of one text after the other."""
    from tinsmith import _core
    from tinsmith.compiler import build_words
    from tinsmith.runtime.model import Model

    facts = {"name": "words", "family": spec.family, "parameters": 0, "weight_bytes": 0, "tensors": {}}
    image = build_words(spec.tokenizer, None, spec.hyper.context, facts)
    return partial(Model(_core.Model(image), image, 1).tokenize, special=True)


def windows(spec: Spec, ids: Sequence[int], most: int, size: int = WINDOW) -> list[list[int]]:
    """Windows of `size` tokens, spread evenly over the text, `most` tokens at most in all.

    Each begins with the beginning-of-sequence token where the model's texts do. A text of less than a window is
    one window. Raises InputError for a text of less than 16 tokens.
    """
    if len(ids) < 16:
        raise InputError(f"the calibration text has {len(ids)} tokens; give at least 16, better 10,000")
    size = min(size, len(ids), spec.hyper.context)
    there = len(ids) // size
    count = max(1, min(most // size, there))
    result = [list(ids[at * size : (at + 1) * size]) for at in (k * there // count for k in range(count))]
    if spec.tokenizer.add_bos and spec.tokenizer.bos is not None:
        result = [[spec.tokenizer.bos, *window[:-1]] for window in result]
    return result
