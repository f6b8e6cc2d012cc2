"""Perplexity: the exponential of the mean negative logarithm of the probability of each token of a text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tinsmith import _core
from tinsmith.checks import whole
from tinsmith.errors import InputError
from tinsmith.system.progress import Display

if TYPE_CHECKING:
    from tinsmith.runtime import Model


def perplexity(model: Model, text: str, context: int, display: Display) -> dict[str, Any]:
    """perplexity; tokens: how many were scored; windows, of `context` tokens each.

    As llama.cpp's tool of this name: the text in windows that do not overlap, each beginning with the
    beginning-of-sequence token where the model has one; of each the second half is scored, predicted from all
    before it. What is left at the end is not used, unless it is all there is. Raises InputError for a context
    that the model does not have, or a text of less than three tokens."""
    most = model.info.context
    whole("the context", context, 4, most)
    tokens, bos = model.tokenize(text, bos=True), model.tokenize("", bos=True)
    if len(tokens) < 3:
        raise InputError(f"the text has {len(tokens)} tokens; give at least 3")
    size = min(context, len(tokens))
    starts = range(0, len(tokens) - size + 1, size)
    total, count = 0.0, 0
    with display.bar("perplexity", len(starts)) as bar:
        for done, start in enumerate(starts):
            bar.update(done)
            window = tokens[start : start + size]
            window[: len(bos)] = bos
            scores = scored(model, window, size // 2)
            total += math.fsum(scores)
            count += len(scores)
        bar.update(len(starts))
    return {
        "perplexity": math.exp(-total / count),
        "tokens": count,
        "context": size,
        "windows": len(starts),
        "text_tokens": len(tokens),
    }


def scored(model: Model, window: list[int], first: int) -> list[float]:
    """The log-probability of each token from position `first` + 1 on, given all before it."""
    session = model.open_session(window[:1], len(window))
    session.rewind(0)
    session.append(window[:-1])
    session.want_logits(first)
    wanted, logprobs = window[first + 1 :], list[float]()
    while session.step() == _core.STEP_LOGITS:
        rows = len(session.argmax())
        logprobs += session.logprobs(wanted[len(logprobs) : len(logprobs) + rows])
    return logprobs
