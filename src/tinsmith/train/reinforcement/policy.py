"""A policy's sampled answers: their advantages, and their probabilities under a network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from tinsmith.train.batches.sequences import TokenSequence

if TYPE_CHECKING:
    from torch import Tensor

_TINY = 1e-4  # beside a spread, which may be 0


@dataclass(frozen=True)
class Rollout:
    """sequence: a prompt and its sampled answer, with the tokens that the constraint forced; drawn: its
    log-probability under the sampler."""

    sequence: TokenSequence
    advantage: float
    drawn: float

    def __len__(self) -> int:
        return len(self.sequence)


@dataclass(frozen=True)
class Policy:
    """A network's probabilities of rollouts' choices, in order. chosen, entropy [choices]; owner [choices]: the
    number of the rollout."""

    chosen: Tensor
    entropy: Tensor
    owner: Tensor


def advantages(rewards: Sequence[Sequence[float]]) -> list[list[float]]:
    """By group, each reward's distance from the group's mean, over the group's spread."""
    found = []
    for group in rewards:
        mean = fmean(group)
        variance = sum((reward - mean) ** 2 for reward in group) / max(1, len(group) - 1)
        found.append([(reward - mean) / (math.sqrt(variance) + _TINY) for reward in group])
    return found


def bits(masks: Sequence[bytes], like: Tensor) -> Tensor:
    """[choices, vocabulary], from masks with a bit a token."""
    import numpy as np
    import torch

    rows = np.unpackbits(
        np.frombuffer(b"".join(masks), np.uint8).reshape(len(masks), -1), axis=1, bitorder="little"
    )
    return torch.from_numpy(rows[:, : like.shape[1]].astype(bool)).to(like.device)
