"""continue: an adapter that learns plain text, such as a language or a style, together with the examples."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

from tinsmith.errors import InputError
from tinsmith.train.batches.sequences import TokenSequence, batches, some
from tinsmith.train.methods import ORIGINALS_ONCE
from tinsmith.train.methods.lora import KEYS, AdapterMethod, AdapterTrainee

if TYPE_CHECKING:
    from tinsmith.train.job import Job

HELD_OUT = 10  # one piece in so many is held out for validation


def pieces_of(job: Job) -> list[TokenSequence]:
    pieces = job.text_sequences()
    if len(pieces) < 2:
        raise InputError(
            f"[data] text: gives {len(pieces)} piece of max_length = {job.max_length} tokens, and one is "
            "held out; give more text, or lower max_length"
        )
    return pieces


class ContinueTrainee(AdapterTrainee):
    """Learns every token of the texts, in pieces of max_length tokens. The validation examples decide which
    epoch is best; the loss on held-out pieces is reported too."""

    def plan(self, job: Job) -> None:
        super().plan(job)
        self.digest += hashlib.sha256(repr(self.held_out).encode()).hexdigest()

    def sequences(self, job: Job) -> list[TokenSequence]:
        pieces = pieces_of(job)
        chance = random.Random(f"{job.options.seed}/held out")
        held_out = set(chance.sample(range(len(pieces)), max(1, len(pieces) // HELD_OUT)))
        self.held_out = batches(
            [pieces[number] for number in sorted(held_out)], job.options.batch_tokens, 0, 0, 0
        )
        learned = [piece for number, piece in enumerate(pieces) if number not in held_out]
        self.note += f"; {len(held_out)} of {len(pieces)} pieces of text held out"
        return [*super().sequences(job), *learned]

    def validate_on(self, count: int) -> None:
        super().validate_on(count)
        self.held_out = some(self.held_out, count)

    def examine(self) -> tuple[float, float]:
        import torch

        total, tokens = 0.0, 0
        with torch.no_grad():
            for batch in self.in_parts(self.held_out):
                losses, _ = self.network.answer_losses(self.network.pack(batch, 0))
                total, tokens = total + float(losses.sum()), tokens + len(losses)
        self.text_loss = total / tokens
        return super().examine()


class Continue(AdapterMethod):
    def check(self, job: Job) -> None:
        if not job.texts or not job.validation:
            raise InputError('method "continue" learns from text, and needs at least one validation example')

    def check_lengths(self, job: Job) -> None:
        super().check_lengths(job)
        pieces_of(job)


method = Continue(
    "continue",
    ContinueTrainee,
    keys=(*KEYS, ORIGINALS_ONCE),
    reads=("text",),
    needs=(("data", "text"),),
)
