"""The loss against a teacher's likeliest tokens, and the logits of a teacher that the runtime runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tinsmith import _core
from tinsmith.runtime.model import Model
from tinsmith.train.layers.by_rows import by_rows
from tinsmith.train.model.network import Network

_LEAST = 1e-10  # of a probability whose logarithm is taken


def divergences(logits: Tensor, tokens: Tensor, probabilities: Tensor, temperature: float) -> Tensor:
    """The KL divergence from the teacher to softmax(logits / temperature) of each row, times the temperature's
    square, so that its gradient is as large as at 1 (Hinton et al., arXiv 1503.02531).

    logits [rows, vocabulary]; tokens, probabilities [rows, top]: the teacher's likeliest. All other tokens are
    one event, so a teacher that is sure of none of its likeliest is not taken for one that is.
    """
    own = (logits / temperature).log_softmax(-1).gather(1, tokens)
    rest = (1 - probabilities.sum(-1, keepdim=True)).clamp(min=0)
    own_rest = (1 - own.exp().sum(-1, keepdim=True)).clamp(min=_LEAST).log()
    wanted, given = torch.cat([probabilities, rest], -1), torch.cat([own, own_rest], -1)
    return temperature**2 * (wanted * (wanted.clamp(min=_LEAST).log() - given)).sum(-1)


@dataclass(frozen=True)
class Taught:
    """A teacher's likeliest tokens at some positions, [positions, top], and their probabilities at a
    temperature."""

    tokens: Tensor
    probabilities: Tensor
    temperature: float


def losses(network: Network, states: Tensor, targets: Tensor, teacher: Taught, weight: float) -> Tensor:
    """At each position (1 - weight) * cross entropy + weight * divergence; [positions]."""

    def mixed(rows: Tensor, part: slice) -> tuple[Tensor]:
        logits = network.logits(rows)
        entropy = torch.nn.functional.cross_entropy(logits, targets[part], reduction="none")
        tokens, probabilities = teacher.tokens[part], teacher.probabilities[part]
        apart = divergences(logits, tokens, probabilities, teacher.temperature)
        return ((1 - weight) * entropy + weight * apart,)

    return by_rows(states, mixed)[0]


def answer_logits(model: Model, prompt: Sequence[int], answer: Sequence[int]) -> Any:
    """The teacher's logits of each of the answer's tokens: numpy, [answer, vocabulary] float32. What the prompt
    shares with that of an earlier call is not computed again."""
    session = model.open_session(prompt, len(answer))
    session.rewind(len(prompt) - 1)
    session.append([prompt[-1], *answer[:-1]])
    session.want_logits(len(prompt) - 1)
    rows = bytearray()
    while session.step() == _core.STEP_LOGITS:
        rows += session.logits()[1]
    return np.frombuffer(rows, np.float32).reshape(len(answer), -1)


def likeliest(logits: Any, vocabulary: int, top: int, temperature: float) -> tuple[Tensor, Tensor]:
    """The `top` likeliest tokens of each row, and their probabilities at the temperature. vocabulary: how many
    tokens count; a model's may be padded to more, or lack unused ones."""
    scores = torch.from_numpy(logits[:, :vocabulary].copy()).div_(temperature).log_softmax(-1)
    best = scores.topk(min(top, scores.shape[1]))
    return best.indices.int(), best.values.exp()
