"""Learning from preferences by an adapter: what DPO, KTO and ORPO share.

The reference model is the network before its first step: the base, or the base with the adapter that training
continues. Its log-probabilities are computed once, before the first step, so no second copy stays in memory.
"""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING

from tinsmith.data.preferences import Preference
from tinsmith.data.readers import Example
from tinsmith.errors import InputError
from tinsmith.train.batches.sequences import TokenSequence, batches, cut
from tinsmith.train.events import Event
from tinsmith.train.methods.lora import KEYS, AdapterMethod, AdapterTrainee
from tinsmith.train.quantized.importance import recorded
from tinsmith.train.rules import default_preference_rate
from tinsmith.train.steps import parts

if TYPE_CHECKING:
    from torch import Tensor

    from tinsmith.train.job import Job

REFERENCE = "reference"  # the folder, in the run's, of the base's log-probabilities
HELD_OUT = 10  # one input in so many is held out if the recipe gives no validation preferences
_BATCHES = 64  # of a part of the reference


@dataclass(frozen=True)
class Judged:
    """answers: the chosen and the rejected sequence of a pair, or the rated one; good: the rating; other: KTO's
    mismatched sequence, an input with the answer to another."""

    answers: tuple[TokenSequence, ...]
    good: bool = True
    other: TokenSequence | None = None

    def __len__(self) -> int:
        return sum(map(len, self.answers))


@dataclass(frozen=True)
class PreferenceMethod(AdapterMethod):
    _: KW_ONLY
    keys: tuple[str, ...] = (*KEYS, "beta")
    reads: tuple[str, ...] = ("preferences",)
    needs: tuple[tuple[str, str], ...] = (("data", "preferences"),)
    share: str = "preferred"
    reads_examples: bool = False
    one_adapter: bool = True
    gentle: float = 1.0  # the rate is low as it is

    def check(self, job: Job) -> None:
        if not job.preferences:
            raise InputError(f'method "{self.name}" learns from {self.reads[0]}; give some')

    def check_lengths(self, job: Job) -> None:
        for rows in split(job):
            PreferenceTrainee.judged(job, rows)


class PreferenceTrainee(AdapterTrainee):
    """Trains on batches of Judged. reference: the base's log-probability of each sequence; validation: on
    preferences, given or held out."""

    default_rate = staticmethod(default_preference_rate)
    splits = False

    def plan(self, job: Job) -> None:
        options = job.options
        learned, validation = split(job)
        rows = self.judged(job, learned), self.judged(job, validation)
        answers = (one for part in rows for row in part for one in (*row.answers, row.other))
        every = list(dict.fromkeys(filter(None, answers)))
        self.beta, self.kept = options.beta, job.kept
        self.shared = self.sharing(every)
        uncounted = self.shared * len(rows[0][0].answers)
        self.validation = batches(rows[1], options.batch_tokens, uncounted, 0, 0)
        self.epochs = [
            batches(rows[0], options.batch_tokens, uncounted, options.run_seed, epoch)
            for epoch in range(options.epochs)
        ]
        held = "" if job.validation_preferences else ", held out"
        self.note += f"; validated on {len(validation)} of {len(validation) + len(learned)} preferences{held}"
        kinds = [[row for row in part if row.good == good] for part in rows for good in (True, False)]
        self.digest = job.digest(every, *([one for row in kind for one in row.answers] for kind in kinds))
        self.unread = cut(sorted(every, key=len), options.batch_tokens, self.shared)
        self.reference_digest = job.base_digest(str(options.batch_tokens), every)
        self.reference: dict[TokenSequence, float] = {}

    @staticmethod
    def judged(job: Job, rows: Sequence[Preference]) -> list[Judged]:
        """Raises DataError for an answer that is too long."""
        tokenize = job.tokenization()
        return [
            Judged(
                tuple(tokenize([Example(row.input, output, where=row.where) for output in row.outputs])),
                row.good,
            )
            for row in rows
        ]

    def prepare(self, tell: Callable[[Event], None]) -> None:
        import torch

        def make(number: int) -> parts.Part:
            chunk = self.unread[number * _BATCHES : (number + 1) * _BATCHES]
            with torch.no_grad():
                return {"totals": torch.cat([self.log_probabilities(batch) for batch in chunk])}

        self.network.model.eval()
        count = -(-len(self.unread) // _BATCHES)
        made = parts.kept(self.kept / REFERENCE, self.reference_digest, count, make, tell)
        totals = torch.cat([part["totals"] for part in made]).tolist()
        every = [sequence for batch in self.unread for sequence in batch]
        self.reference = dict(zip(every, totals, strict=True))

    def rows(self, batch: Sequence[Judged]) -> Sequence[TokenSequence]:
        return [one for row in batch for one in row.answers]

    def log_probabilities(self, sequences: Sequence[TokenSequence]) -> Tensor:
        """The sum over each answer's tokens; [sequences]."""
        packing = self.network.pack(sequences, self.shared)
        losses, _ = self.network.answer_losses(packing)
        return losses.new_zeros(len(sequences)).index_add(0, packing.owner, -losses)

    def answers(self, rows: Sequence[Judged]) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the answers, by network and by reference; [answers of a row, rows] each."""
        sequences = [row.answers[place] for place in range(len(rows[0].answers)) for row in rows]
        own = self.log_probabilities(sequences)
        reference = own.new_tensor([self.reference[one] for one in sequences])
        return own.view(-1, len(rows)), reference.view(-1, len(rows))

    @abstractmethod
    def verdict(self, rows: Sequence[Judged]) -> tuple[Tensor, Tensor]:
        """The rows' mean loss, and whether the network agrees with each; [rows]."""

    def loss(self, batch: Sequence[Judged]) -> Tensor:
        return self.verdict(batch)[0]

    def examine(self) -> tuple[float, float]:
        """The mean loss, and the share of rows whose judgement the network shares."""
        import torch

        total, kept, count = 0.0, 0, 0
        with torch.no_grad(), recorded(self.network) as self.importance:
            for batch in self.validation:
                loss, right = self.verdict(batch)
                total, kept = total + float(loss) * len(batch), kept + int(right.sum())
                count += len(batch)
        return total / count, kept / count


def split(job: Job) -> tuple[list[Preference], list[Preference]]:
    """The training and the validation preferences. Without given ones, validation takes all rows of one input
    in ten, and of at least one."""
    if job.validation_preferences:
        return list(job.preferences), list(job.validation_preferences)
    inputs = list(dict.fromkeys(row.input for row in job.preferences))
    if len(inputs) < 2:
        raise InputError(
            "[data] preferences: all have the same input, so none can be held out; add some with other inputs"
        )
    chance = random.Random(f"{job.options.seed}/held out")
    held_out = set(chance.sample(inputs, max(1, len(inputs) // HELD_OUT)))
    learned = [row for row in job.preferences if row.input not in held_out]
    if len(learned[0].outputs) == 1 and len({row.good for row in learned}) < 2:
        raise InputError(
            "[data] preferences: outside the held-out rows all ratings are alike; add more of the other kind"
        )
    return learned, [row for row in job.preferences if row.input in held_out]
