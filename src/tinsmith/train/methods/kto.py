"""kto: an adapter learns from outputs rated good or bad, by Kahneman-Tversky optimization (Ethayarajh et al.,
arXiv 2402.01306)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tinsmith.data.preferences import Preference
from tinsmith.train.batches.sequences import TokenSequence
from tinsmith.train.methods._preferences import Judged, PreferenceMethod, PreferenceTrainee

if TYPE_CHECKING:
    from torch import Tensor

    from tinsmith.train.job import Job


def losses(ratios: Tensor, good: Tensor, divergence: Tensor, beta: float, good_weight: float) -> Tensor:
    """1 - sigmoid(beta * (ratio - divergence)) of each good output, times its weight; for a bad one with the
    signs changed.

    ratios [outputs]: log-probability by the network minus that by the reference; good [outputs]: bool;
    divergence: an estimate of the KL divergence of the two, at least 0.
    """
    import torch

    margins = torch.where(good, ratios - divergence, divergence - ratios)
    return torch.where(good, good_weight, 1.0) * (1 - torch.sigmoid(beta * margins))


def others(answers: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """For each answer, the next one that differs, cyclically; itself if none does."""
    found, count = list(answers), len(answers)
    for place in reversed(range(-count, count - 1)):  # twice: the last ones continue at the start
        after = answers[place + 1]
        found[place] = after if after != answers[place] else found[place + 1]
    return found


class KtoTrainee(PreferenceTrainee):
    """As in the paper, estimates the divergence from mismatched pairs: each row's input with the file's next
    answer that differs. good_weight: of a good output relative to a bad one, so that both kinds weigh the same
    in all."""

    def plan(self, job: Job) -> None:
        super().plan(job)
        ratings = [row.good for row in job.preferences]
        self.good_weight = ratings.count(False) / ratings.count(True)

    @staticmethod
    def judged(job: Job, rows: Sequence[Preference]) -> list[Judged]:
        plain = PreferenceTrainee.judged(job, rows)
        mismatched = others([row.answers[0].answer for row in plain])
        return [
            replace(row, other=TokenSequence(row.answers[0].prompt, other))
            for row, other in zip(plain, mismatched, strict=True)
        ]

    def verdict(self, rows: Sequence[Judged]) -> tuple[Tensor, Tensor]:
        import torch

        own, reference = self.answers(rows)
        ratios = (own - reference)[0]
        device = self.network.device
        good = torch.tensor([row.good for row in rows], device=device)
        others = [row.other for row in rows if row.other]
        with torch.no_grad():
            reference = torch.tensor([self.reference[one] for one in others], device=device)
            apart = self.log_probabilities(others) - reference
            divergence = apart.mean().clamp(min=0)
        each = losses(ratios, good, divergence, self.beta, self.good_weight)
        return each.mean(), (ratios > divergence) == good


method = PreferenceMethod("kto", KtoTrainee)
