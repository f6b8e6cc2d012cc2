"""A policy's answers as they are learned: their advantages, and what a network says of them."""

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
    """sequence: a prompt and its drawn answer, forced what the constraint left no choice of; drawn: its
    log-probability where it was drawn."""

    sequence: TokenSequence
    advantage: float
    drawn: float

    def __len__(self) -> int:
        return len(self.sequence)


@dataclass(frozen=True)
class Policy:
    """What a network says of rollouts' choices, in order. chosen, entropy [choices]; owner [choices]: the
    number of the rollout."""

    chosen: Tensor
    entropy: Tensor
    owner: Tensor


def advantages(rewards: Sequence[Sequence[float]]) -> list[list[float]]:
    """By group, each reward's distance from the group's mean, over the group's spread."""
    found = []
    for group in rewards:
        mean, by = fmean(group), _spread(group) + _TINY
        found.append([(reward - mean) / by for reward in group])
    return found


def _spread(values: Sequence[float]) -> float:
    mean = fmean(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / max(1, len(values) - 1))


def bits(masks: Sequence[bytes], like: Tensor) -> Tensor:
    """[choices, vocabulary], of masks that have a bit a token."""
    import numpy as np
    import torch

    rows = np.unpackbits(
        np.frombuffer(b"".join(masks), np.uint8).reshape(len(masks), -1), axis=1, bitorder="little"
    )
    return torch.from_numpy(rows[:, : like.shape[1]].astype(bool)).to(like.device)
