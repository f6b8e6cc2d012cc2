"""What a loop trains: a network, the batches that it walks through, their loss, and where the best is kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from tinsmith.train.sequences import TokenSequence, batches, shared_prefix

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

    from tinsmith.train.job import Job
    from tinsmith.train.network import Network

Batch = Sequence[TokenSequence]


class Trainee(ABC):
    """A network that learns answers by their cross entropy.

    epochs: batches in order, by epoch; validation: batches; rate, note: the highest learning rate, and how it
    was chosen; digest: of all that decides how the run goes: a checkpoint of another run is not taken up;
    result: the folder that `keep` writes the best to; importance: mean squares of the layers' inputs in the
    latest validation, by role."""

    def __init__(
        self,
        job: Job,
        network: Network,
        sequences: Sequence[TokenSequence],
        result: Path,
        rate: tuple[float, str],
    ) -> None:
        options = job.options
        tokenize = job.tokenization()
        validation = tokenize(job.validation)
        variants = [tokenize.fitting(made) for made in job.variants]
        every = [*sequences, *validation, *(sequence for made in variants for sequence in made)]
        self.network, self.result = network, result
        self.rate, self.note = rate
        self.shared = len(shared_prefix(every)) if network.packs else 0
        self.validation = batches(validation, options.batch_tokens, self.shared, 0, 0)
        self.epochs = [
            batches(
                [*sequences, *(variants[epoch % len(variants)] if variants else ())],
                options.batch_tokens,
                self.shared,
                options.seed,
                epoch,
            )
            for epoch in range(options.epochs)
        ]
        self.digest = job.digest(sequences, validation, *variants)
        self.importance: dict[str, Tensor] = {}

    def parameters(self) -> dict[str, nn.Parameter]:
        """What is trained, by name, in a fixed order."""
        return self.network.parameters()

    def loss(self, batch: Batch) -> Tensor:
        """The mean over the batch, to go back from."""
        losses, _ = self.network.answer_losses(self.network.pack(batch, self.shared))
        return losses.mean()

    def validate(self) -> tuple[float, float]:
        """The mean loss, and the share of answers every token of which is the likeliest."""
        import torch

        from tinsmith.train.importance import recorded

        total, tokens, exact, count = 0.0, 0, 0, 0
        with torch.no_grad(), recorded(self.network) as self.importance:
            for batch in self.validation:
                packing = self.network.pack(batch, self.shared)
                losses, best = self.network.answer_losses(packing)
                wrong = torch.zeros(len(batch)).index_add_(0, packing.owner, (best != packing.targets).float())
                total, tokens = total + float(losses.sum()), tokens + len(losses)
                exact, count = exact + int((wrong == 0).sum()), count + len(batch)
        return total / tokens, exact / count

    @abstractmethod
    def keep(self) -> None:
        """Writes what is trained, as it is now, to the folder `result`, which is replaced as a whole."""

    def renew(self) -> None:  # noqa: B027, most methods have nothing to renew
        """After each checkpoint: makes what follows from it alone, so that a resumed run makes the same."""

    def around(self, step: int) -> AbstractContextManager[None]:
        """What the forward and backward passes of a step run in."""
        return nullcontext()
