"""Prompts to fill in the text between two texts (fill in the middle: Bavarian et al., arXiv 2207.14255)."""

from __future__ import annotations

from collections.abc import Callable

from tinsmith.errors import UnsupportedError

# Control tokens before the text before the gap, before the text after it, and before the middle.
MARKS = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),  # Qwen2.5 and later, CodeGemma, Granite 4
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),  # StarCoder, Granite 3
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),  # DeepSeek Coder
    ("<|prefix|>", "<|suffix|>", "<|middle|>"),  # Falcon-H1's coders
)


def infill_prompt(tokenize: Callable[..., list[int]], before: str, behind: str) -> list[int]:
    """Loaded.infill_prompt. tokenize: Loaded's."""
    for marks in MARKS:
        ids = [tokenize(mark, special=True) for mark in marks]
        if all(len(one) == 1 for one in ids):
            (first,), (second,), (third,) = ids
            start = tokenize("", bos=True)
            return [*start, first, *tokenize(before), second, *tokenize(behind), third]
    known = ", ".join(marks[0] for marks in MARKS)
    raise UnsupportedError(
        f"the model can't fill in a middle: its vocabulary has none of {known}; take a base that has one, such "
        "as Qwen2.5-Coder"
    )
