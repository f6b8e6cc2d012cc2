"""A policy's answers as they are learned: their advantages, the clipped loss, and what is watched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from tinsmith.train.batches.sequences import TokenSequence
from tinsmith.train.options import BATCH, UNSCALED

if TYPE_CHECKING:
    from torch import Tensor

_TINY = 1e-4  # beside a spread, which may be 0


@dataclass(frozen=True)
class Rollout:
    """sequence: a prompt and its drawn answer, forced what the constraint left no choice of; drawn: its
    log-probability where it was drawn; old, reference: of its choices, by the network that drew and by the
    one that training started from, where they are needed."""

    sequence: TokenSequence
    advantage: float
    drawn: float
    old: tuple[float, ...] = ()
    reference: tuple[float, ...] = ()

    def __len__(self) -> int:
        return len(self.sequence)


@dataclass(frozen=True)
class Pair:
    """Of a prompt's answers, one that is worth most and one that is worth least."""

    best: Rollout
    worst: Rollout

    def __len__(self) -> int:
        return len(self.best) + len(self.worst)


@dataclass(frozen=True)
class Policy:
    """What a network says of rollouts' choices, in order. chosen, entropy [choices]; owner [choices]: the
    number of the rollout."""

    chosen: Tensor
    entropy: Tensor
    owner: Tensor


def advantages(rewards: Sequence[Sequence[float]], scale: str) -> list[list[float]]:
    """By group, each reward's distance from the group's mean, over the spread of the group, of all, or of
    nothing."""
    spread = _spread([reward for group in rewards for reward in group])
    found = []
    for group in rewards:
        mean = fmean(group)
        by = {BATCH: spread, UNSCALED: 1 - _TINY}.get(scale, _spread(group)) + _TINY
        found.append([(reward - mean) / by for reward in group])
    return found


def _spread(values: Sequence[float]) -> float:
    mean = fmean(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / max(1, len(values) - 1))


def losses(chosen: Tensor, old: Tensor, advantage: Tensor, low: float, high: float) -> Tensor:
    """Each choice's loss, its ratio clipped; [choices] each. chosen, old: log-probabilities, by the network
    and by the one that drew; low, high: how far the ratio may fall below and rise above 1 and still be
    learned from."""
    import torch

    ratio = (chosen - old).exp()
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - low, 1 + high) * advantage)


def divergences(chosen: Tensor, reference: Tensor) -> Tensor:
    """An estimate, never below 0, of the divergence of the network from the reference at each choice
    (Schulman, 2020); [choices] each."""
    apart = reference - chosen
    return apart.exp() - apart - 1


def held(rollouts: Sequence[Rollout], name: str, like: Tensor) -> Tensor:
    """What the rollouts hold of their choices, in order; [choices]."""
    import torch

    return torch.tensor([value for one in rollouts for value in getattr(one, name)], device=like.device)


def bits(masks: Sequence[bytes], like: Tensor) -> Tensor:
    """[choices, vocabulary], of masks that have a bit a token."""
    import numpy as np
    import torch

    rows = np.unpackbits(
        np.frombuffer(b"".join(masks), np.uint8).reshape(len(masks), -1), axis=1, bitorder="little"
    )
    return torch.from_numpy(rows[:, : like.shape[1]].astype(bool)).to(like.device)
