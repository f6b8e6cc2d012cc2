"""What a loop trains: a network, the batches that it walks through, their loss, and where the best is kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence, Sized
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from tinsmith.errors import UnsupportedError
from tinsmith.train import together
from tinsmith.train.sequences import TokenSequence, batches, shared_prefix

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn
    from torch.optim import Optimizer

    from tinsmith.train.job import Job
    from tinsmith.train.network import Network
    from tinsmith.train.options import Event, TrainOptions


BETAS = 0.9, 0.99  # of AdamW


class Trainee(ABC):
    """A network that learns sequences' answers by their cross entropy, or what a subclass plans otherwise.

    epochs: batches in order, by epoch, of whatever has a length in tokens; validation: batches; rate, note: the
    highest learning rate, and how it was chosen; digest: of all that decides how the run goes: a checkpoint of
    another run is not taken up; result: the folder that `keep` writes the best to; importance: mean squares of
    the layers' inputs in the latest validation, by role; text_loss: of plain text in it, where some is held
    out."""

    epochs: Sequence[Sequence[Sequence[Sized]]]
    validation: Sequence[Any]
    digest: str
    text_loss: float | None = None

    def __init__(self, job: Job, network: Network, result: Path, rate: tuple[float, str]) -> None:
        self.network, self.result = network, result
        self.rate, self.note = rate
        self.importance: dict[str, Tensor] = {}
        self.plan(job)

    def sequences(self, job: Job) -> list[TokenSequence]:
        """What is learned in each epoch, the job's variants aside."""
        return job.tokenization()(job.examples)

    def plan(self, job: Job) -> None:
        """Settles epochs, validation and digest."""
        options, sequences = job.options, self.sequences(job)
        tokenize = job.tokenization()
        validation = tokenize(job.validation)
        variants = [tokenize.fitting(made) for made in job.variants]
        every = [*sequences, *validation, *(sequence for made in variants for sequence in made)]
        self.shared = len(shared_prefix(every)) if self.network.packs else 0
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

    def parameters(self) -> dict[str, nn.Parameter]:
        """What is trained, by name, in a fixed order."""
        return self.network.parameters()

    def optimizer(self, options: TrainOptions) -> Optimizer:
        """AdamW over the parameters, in their order."""
        import torch

        parameters, decay = self.parameters().values(), options.weight_decay
        return torch.optim.AdamW(parameters, self.rate, betas=BETAS, weight_decay=decay, fused=True)

    def prepare(self, tell: Callable[[Event], None]) -> None:  # noqa: B027, most methods have nothing to prepare
        """Before the first step, with the weights that training starts from: makes what takes a while."""

    def rows(self, batch: Sequence[Any]) -> Sequence[TokenSequence]:
        """The sequences that a batch puts through the network at once."""
        return batch

    def loss(self, batch: Sequence[Any]) -> Tensor:
        """The mean over the batch, to go back from."""
        losses, _ = self.network.answer_losses(self.network.pack(batch, self.shared))
        return losses.mean()

    def weight(self, batch: Sequence[Any]) -> float:
        """How much a batch's loss counts beside another's: with these weights the mean of the losses of a
        batch's parts is the loss of the batch. Who overrides `loss` overrides this too, if there is such a
        weight."""
        return sum(len(sequence.learned) for sequence in batch)

    def check_sharing(self) -> None:
        """Raises UnsupportedError where several processes cannot share a batch."""
        kind = next(kind for kind in type(self).__mro__ if "loss" in vars(kind))
        if together.count() > 1 and "weight" not in vars(kind):
            raise UnsupportedError(
                "this method's loss is not the mean of a batch's parts; train in one process"
            )

    def validate(self) -> tuple[float, float]:
        """The mean loss, and the share of answers every token of which is the likeliest."""
        import torch

        from tinsmith.train.importance import recorded

        total, tokens, exact, count = 0.0, 0, 0, 0
        with torch.no_grad(), recorded(self.network) as self.importance:
            for batch in self.validation:
                packing = self.network.pack(batch, self.shared)
                losses, best = self.network.answer_losses(packing)
                missed = (best != packing.targets).float()
                wrong = missed.new_zeros(len(batch)).index_add_(0, packing.owner, missed)
                total, tokens = total + float(losses.sum()), tokens + len(losses)
                exact, count = exact + int((wrong == 0).sum()), count + len(batch)
        return total / tokens, exact / count

    @abstractmethod
    def keep(self) -> None:
        """Writes what is trained, as it is now, to the folder `result`, which is replaced as a whole."""

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps besides what is trained."""
        return {}

    def restore(self, tensors: dict[str, Tensor]) -> None:  # noqa: B027, most methods have no state
        """Takes up what `state` gave."""

    def renew(self, step: int) -> None:  # noqa: B027, most methods have nothing to renew
        """After each checkpoint, also one that was taken up: makes what follows from it alone, so that a
        resumed run makes the same. Raises FormatError for weights that no block holds."""

    def around(self, step: int) -> AbstractContextManager[None]:
        """What the forward and backward passes of a step run in."""
        return nullcontext()
