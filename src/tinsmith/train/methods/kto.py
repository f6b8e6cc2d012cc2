"""kto: an adapter from outputs that are rated good or bad, by Kahneman-Tversky optimization (Ethayarajh et al.,
arXiv 2402.01306)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tinsmith.data.preferences import Preference, Rating
from tinsmith.train.batches.sequences import TokenSequence
from tinsmith.train.methods._preferences import Judged, PreferenceMethod, PreferenceTrainee

if TYPE_CHECKING:
    from torch import Tensor

    from tinsmith.train.job import Job


def losses(ratios: Tensor, good: Tensor, divergence: Tensor, beta: float, good_weight: float) -> Tensor:
    """1 - sigmoid(beta * (ratio - divergence)) of each good output, times its weight, and of a bad one with the
    signs changed. ratios [outputs]: log-probability by the network over that by the reference; good [outputs]:
    bool; divergence: an estimate of the KL divergence of the two, at least 0."""
    import torch

    margins = torch.where(good, ratios - divergence, divergence - ratios)
    return torch.where(good, good_weight, 1.0) * (1 - torch.sigmoid(beta * margins))


def others(answers: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Of each answer, the next that differs, again from the start after the last; itself where none does."""
    found, count = list(answers), len(answers)
    for place in reversed(range(-count, count - 1)):  # twice: the last follow from the first
        after = answers[place + 1]
        found[place] = after if after != answers[place] else found[place + 1]
    return found


class Kto(PreferenceMethod):
    name = "kto"
    reads = ("preferences",)
    needs = (("data", "preferences"),)

    def trainee(self, job: Job) -> KtoTrainee:
        return KtoTrainee(job)


class KtoTrainee(PreferenceTrainee):
    """The divergence is estimated, as in the paper, from inputs with the answers to others: of each row, the
    next answer in the file that is not its own. good_weight: of a good output where a bad one counts 1, so that
    both kinds count the same in all."""

    def plan(self, job: Job) -> None:
        super().plan(job)
        ratings = [row.good for row in job.preferences if isinstance(row, Rating)]
        self.good_weight = ratings.count(False) / ratings.count(True)

    def judged(self, job: Job, rows: Sequence[Preference]) -> list[Judged]:
        plain = super().judged(job, rows)
        judged = []
        mismatched = others([row.answers[0].answer for row in plain])
        for row, rating, other in zip(plain, rows, mismatched, strict=True):
            assert isinstance(rating, Rating)
            (sequence,) = row.answers
            judged.append(replace(row, good=rating.good, other=TokenSequence(sequence.prompt, other)))
        return judged

    def verdict(self, rows: Sequence[Judged]) -> tuple[Tensor, Tensor]:
        import torch

        own, reference = self.answers(rows)
        ratios = (own - reference)[0]
        device = self.network.device
        good = torch.tensor([row.good for row in rows], device=device)
        others = [row.other for row in rows if row.other]
        with torch.no_grad():
            held = torch.tensor([self.reference[one] for one in others], device=device)
            apart = self.log_probabilities(others) - held
            divergence = apart.mean().clamp(min=0)
        each = losses(ratios, good, divergence, self.beta, self.good_weight)
        return each.mean(), (ratios > divergence) == good


method = Kto()
