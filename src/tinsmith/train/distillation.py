"""The loss against a teacher's most likely tokens, and the logits of a teacher in the runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tinsmith import _core
from tinsmith.runtime.model import Model
from tinsmith.train.layers.by_rows import by_rows
from tinsmith.train.model.network import Network

TOP = 64  # number of the teacher's most likely tokens whose probabilities are stored
WEIGHT = 0.5  # the divergence's share of the loss; the rest is cross entropy
_LEAST = 1e-10  # least probability whose logarithm is taken


def divergences(logits: Tensor, tokens: Tensor, probabilities: Tensor) -> Tensor:
    """The KL divergence of each row's softmax(logits) from the teacher (Hinton et al., arXiv 1503.02531).

    logits [rows, vocabulary]; tokens, probabilities [rows, top]: the teacher's most likely. All other tokens
    count as one event, so that an unsure teacher does not look sure of its top tokens.
    """
    own = logits.log_softmax(-1).gather(1, tokens)
    rest = (1 - probabilities.sum(-1, keepdim=True)).clamp(min=0)
    own_rest = (1 - own.exp().sum(-1, keepdim=True)).clamp(min=_LEAST).log()
    wanted, given = torch.cat([probabilities, rest], -1), torch.cat([own, own_rest], -1)
    return (wanted * (wanted.clamp(min=_LEAST).log() - given)).sum(-1)


def losses(network: Network, states: Tensor, targets: Tensor, tokens: Tensor, probabilities: Tensor) -> Tensor:
    """At each position (1 - WEIGHT) * cross entropy + WEIGHT * divergence; [positions]. tokens, probabilities
    [positions, top]: the teacher's most likely."""

    def mixed(rows: Tensor, part: slice) -> tuple[Tensor]:
        logits = network.logits(rows)
        entropy = torch.nn.functional.cross_entropy(logits, targets[part], reduction="none")
        apart = divergences(logits, tokens[part], probabilities[part])
        return ((1 - WEIGHT) * entropy + WEIGHT * apart,)

    return by_rows(states, mixed)[0]


def answer_logits(model: Model, prompt: Sequence[int], answer: Sequence[int]) -> Any:
    """The teacher's logits of each token of the answer: numpy, [answer, vocabulary] float32. The prefix shared
    with an earlier call's prompt is not computed again."""
    session = model.open_session(prompt, len(answer))
    session.rewind(len(prompt) - 1)
    session.append([prompt[-1], *answer[:-1]])
    session.want_logits(len(prompt) - 1)
    rows = bytearray()
    while session.step() == _core.STEP_LOGITS:
        rows += session.logits()[1]
    return np.frombuffer(rows, np.float32).reshape(len(answer), -1)


def likeliest(logits: Any, vocabulary: int, top: int) -> tuple[Tensor, Tensor]:
    """The `top` most likely tokens of each row, and their probabilities. vocabulary: the number of tokens that
    count; a model's may be padded, or lack unused ones."""
    scores = torch.from_numpy(logits[:, :vocabulary].copy()).log_softmax(-1)
    best = scores.topk(min(top, scores.shape[1]))
    return best.indices.int(), best.values.exp()
