"""Model.choose: the probability of each of a few answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tinsmith import _core
from tinsmith.errors import InputError
from tinsmith.runtime.adapters import Chosen
from tinsmith.runtime.asking import Prompt, conversation, is_ids, tokens_of
from tinsmith.runtime.loaded import Loaded

# Contents of a prompt without content; Zhao et al. (2021) average over these three.
CONTENT_FREE = ("N/A", "", "[MASK]")


@dataclass(frozen=True)
class Choice:
    """The result of Model.choose."""

    option: str  #: The most likely option.
    probabilities: dict[str, float]  #: Of all options, in their order; they sum to 1.


def choose(
    model: Loaded,
    prompt: Prompt,
    options: Sequence[str],
    calibrate: bool | Sequence[Prompt],
    adapter: Chosen = None,
) -> Choice:
    """Model.choose."""
    texts = isinstance(options, Sequence) and all(isinstance(option, str) and option for option in options)
    if isinstance(options, str) or not texts or len(set(options)) < max(2, len(options)):
        raise InputError(f"options are {options!r:.60}; give at least two different texts, none of them empty")
    scores = scored(model, tokens_of(model, prompt, adapter), options, adapter)
    if calibrate is not False:
        neutral = _content_free(prompt) if calibrate is True else calibrate
        if isinstance(neutral, str) or not neutral:
            raise InputError(f"calibrate is {neutral!r:.60}; give a list of prompts without content, or True")
        prior = [0.0] * len(options)
        for one in neutral:
            normalized = _normalized(scored(model, tokens_of(model, one, adapter), options, adapter))
            prior = [a + b / len(neutral) for a, b in zip(prior, normalized, strict=True)]
        scores = [score - math.log(max(p, 1e-300)) for score, p in zip(scores, prior, strict=True)]
    probabilities = dict(zip(options, _normalized(scores), strict=True))
    return Choice(max(options, key=lambda option: probabilities[option]), probabilities)


def _content_free(prompt: Prompt) -> list[Prompt]:
    """The prompt with its last message's content replaced."""
    if is_ids(prompt):
        raise InputError(
            "token ids have no content to leave out; give the content-free prompts as calibrate=[…]"
        )
    *before, last = conversation(prompt)
    return [[*before, {**last, "content": text}] for text in CONTENT_FREE]


def _normalized(scores: Sequence[float]) -> list[float]:
    top = max(scores)
    weights = [math.exp(score - top) for score in scores]
    return [weight / sum(weights) for weight in weights]


def scored(model: Loaded, prompt: Sequence[int], options: Sequence[str], adapter: Chosen = None) -> list[float]:
    """The log probability of each option and the end after it, as the answer to the prompt."""
    if not prompt:
        raise InputError("the prompt is empty; give at least one token")
    skill = model.skill_of(adapter)
    end = model.end_token if skill is model.skill else model.end_of(skill)
    answers = [model.tokenize(option) for option in options]
    session = model.open_session(prompt, max(map(len, answers)), adapter)
    scores = []
    for answer in answers:
        session.rewind(len(prompt) - 1)
        session.append([prompt[-1], *answer])
        session.want_logits(len(prompt) - 1)
        wanted, score = [*answer, end], 0.0
        while session.step() == _core.STEP_LOGITS:
            rows = len(session.argmax())
            score += sum(session.logprobs(wanted[:rows]))
            wanted = wanted[rows:]
        scores.append(score)
    session.rewind(len(prompt) - 1)
    return scores
