"""The subject of a training loop: a network, its batches, their loss and the result's folder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence, Sized
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import chain
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar

from tinsmith.data.augment import origin
from tinsmith.errors import UnsupportedError
from tinsmith.system import files
from tinsmith.tasks import by_name
from tinsmith.train.batches.replay import Replay
from tinsmith.train.batches.sequences import TokenSequence, batches, cut, dealt, shared_prefix, some
from tinsmith.train.events import Replayed, Rolled
from tinsmith.train.quantized.importance import recorded
from tinsmith.train.rules import SHORT_RUN, Rule
from tinsmith.train.steps import together

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import Tensor
    from torch.optim import Optimizer

    from tinsmith.data.readers import Example
    from tinsmith.train.events import Event
    from tinsmith.train.footprint.memory import Demand
    from tinsmith.train.job import Job
    from tinsmith.train.model.network import Network
    from tinsmith.train.options import TrainOptions


Made = Sequence[tuple["Example", TokenSequence]]
BETAS = 0.9, 0.99  # of AdamW
PRODUCTS = "products.txt"  # in a job's folder: the type of its matrix products
SHARE = 256  # tokens enough for a thread: with fewer, products are slow


@dataclass(frozen=True)
class Graded:
    """loss: a mean over the answer's learned tokens; right: whether each is the most likely."""

    sequence: TokenSequence
    loss: float
    right: bool


class Trainee(ABC):
    """A network that learns sequences' answers by cross entropy; subclasses may plan otherwise.

    own: the job's examples with their sequences; lessons: the sequences of each epoch, without replayed ones;
    epochs: batches in order, by epoch, of items with a length in tokens; learned: every sequence that an epoch
    of this run, or of another of its job, may have; validation: batches; rate, note: the highest learning rate,
    and how it was chosen; digest: of everything that decides the run: only a checkpoint with the same digest is
    resumed; result: the folder that `keep` writes the best to; marker: the file that identifies this folder;
    splits: whether a batch's loss is the mean of its parts' with their weights; importance: mean squares of the
    layers' inputs in the latest validation, by role; text_loss: of held-out plain text in it; part_tokens: the
    most tokens in a pass, None for whole batches; replay: of earlier examples; first: tokens that
    stand before every sequence; chosen: the examples replayed in
    the epochs that have begun, which a checkpoint keeps."""

    marker: ClassVar[str]
    splits: ClassVar[bool] = True
    epochs: Sequence[Sequence[Sequence[Sized]]]
    validation: Sequence[Any]
    digest: str
    text_loss: float | None = None
    part_tokens: int | None = None
    replay: Replay | None = None
    first: tuple[int, ...] = ()

    def __init__(self, job: Job, network: Network, result: Path, rule: Rule) -> None:
        """rule: the default learning rate."""
        self.network, self.result = network, result
        self.importance: dict[str, Tensor] = {}
        self.chosen: list[list[int]] = []
        self.note = ""
        self.plan(job)
        # At a short run's higher rate, a continued adapter would forget more.
        least = SHORT_RUN if job.options.gentle < 1 else 0
        steps = max(least, sum(map(len, self.epochs)))
        self.rate, chosen = job.options.rate(rule(job.spec.parameters, steps))
        self.note = chosen + self.note

    def sequences(self, job: Job) -> list[TokenSequence]:
        """The sequences to learn, but for variants."""
        return [sequence for _, sequence in self.own]

    def plan(self, job: Job) -> None:
        """Settles epochs, validation and digest."""
        options, tokenize = job.options, job.tokenization()
        self.own = tokenize.learned(job.examples)
        sequences, validation = self.sequences(job), tokenize(job.validation)
        rounds = [tokenize.fitting(made) for made in job.variants]
        known = tokenize.learned(job.known)
        replayed = [sequence for _, sequence in known]
        self.learned = [*sequences, *(sequence for made in rounds for _, sequence in made), *replayed]
        self.shared = self.sharing([*self.learned, *validation])
        padded, size = not self.network.packs, options.batch_tokens
        self.validation = batches(validation, size, self.shared, 0, 0, padded)
        self.batched = partial(
            batches, batch_tokens=size, shared=self.shared, seed=options.run_seed, padded=padded
        )
        before = options.offset * options.epochs  # what other runs see of them
        self.lessons = [
            self.lesson(job, sequences, rounds[(before + epoch) % len(rounds)] if rounds else (), epoch)
            for epoch in range(options.epochs)
        ]
        if known:
            labels = [by_name(options.task).label(example.output) for example, _ in known]
            self.replay = Replay(replayed, labels, options.replay, options.run_seed)
        self.epochs = [self.epoch(number) for number in range(options.epochs)]
        taught = self.lessons if rounds else [sequences]
        self.digest = job.digest(validation, *taught, *([replayed] if known else ()))

    def lesson(self, job: Job, plain: Sequence[TokenSequence], made: Made, epoch: int) -> list[TokenSequence]:
        """The sequences of an epoch. plain: examples learned besides their augmented ones, which the adapter
        that quantization-aware training continues has learned."""
        again = job.options.only_qat or (epoch > 0 and job.options.originals_once)
        replaced = self.replaced(job, made) if again else ()
        return [*(one for one in plain if one not in replaced), *(sequence for _, sequence in made)]

    def replaced(self, job: Job, made: Made) -> Collection[TokenSequence]:
        """The originals of augmented examples, but for those with images, whose changes are small."""
        numbers = {number for one, _ in made if (number := origin(one)) and not one.images}
        origins = {id(job.examples[number - 1]) for number in numbers}
        return {sequence for example, sequence in self.own if id(example) in origins}

    def epoch(self, number: int) -> list[list[TokenSequence]]:
        """An epoch's batches. Until replay is chosen, any earlier sequences stand in."""
        lesson = self.lessons[number]
        if self.replay:
            begun = number < len(self.chosen)
            places = self.chosen[number] if begun else self.replay.choose(number, len(lesson))
            lesson = [*lesson, *(self.replay.sequences[place] for place in places)]
        return self.batched(lesson, epoch=number)

    def fit(self, demand: Demand, keep_packed: bool = False, more: int = 0) -> str:
        """Fits the steps into memory, and reports how; as memory.plan, of all possible batches."""
        from tinsmith.train.footprint import memory

        # Any earlier example may be replayed.
        replayed = [self.batched(self.replay.sequences, epoch=0)] if self.replay else []
        every = (batch for part in (*self.epochs, *replayed, self.validation) for batch in part)
        most = [self.most(batch) for batch in every]
        planned = memory.plan(self.network, most, self.shared, keep_packed, more, self.splits, demand)
        self.part_tokens = planned.part_tokens
        return planned.words

    def sharing(self, every: Sequence[TokenSequence]) -> int:
        """The length of the sequences' common prefix, which a batch computes once."""
        return len(shared_prefix(every)) if self.network.packs else 0

    def optimizer(self, options: TrainOptions) -> Optimizer:
        """AdamW over the parameters, in their order."""
        import torch

        parameters, decay = self.network.parameters().values(), options.weight_decay
        return torch.optim.AdamW(parameters, self.rate, betas=BETAS, weight_decay=decay, fused=True)

    def prepare(self, tell: Callable[[Event], None]) -> None:
        """Long computations before the first step, with the initial weights."""
        if self.replay:
            self.replay.first = self.sample_losses(self.replay)

    def begin(self, number: int) -> Replayed | None:
        """Chooses the examples that an epoch replays, before its first step."""
        if self.replay is None or number < len(self.chosen):
            return None
        rises = self.replay.rises(self.sample_losses(self.replay)) if number else []
        places = self.replay.choose(number, len(self.lessons[number]), rises)
        self.choose([*self.chosen, places])
        return Replayed(number + 1, len(places), len(self.replay.sequences), fmean(rises or [0.0]))

    def choose(self, chosen: list[list[int]]) -> None:
        """Lays out the epochs that have begun by their recorded choices."""
        self.chosen = chosen
        self.epochs = [*map(self.epoch, range(len(chosen))), *self.epochs[len(chosen) :]]

    def sample_losses(self, replay: Replay) -> list[float]:
        """Under the current network, in the order of the sample."""
        found = self.graded([replay.sequences[place] for place in replay.sample])
        losses = {one.sequence: one.loss for one in found}
        return together.from_first([losses[replay.sequences[place]] for place in replay.sample])

    def graded(self, sequences: Sequence[TokenSequence]) -> list[Graded]:
        """Each sequence with its mean loss, and whether it is right; in any order."""
        import torch

        self.network.model.eval()
        found: list[Graded] = []
        with torch.no_grad():
            for batch in self.in_parts(self.batched(sequences, epoch=0)):
                losses, owner, right = self.judged_tokens(batch)
                sums = losses.new_zeros(len(batch)).index_add_(0, owner, losses)
                for one, total, is_right in zip(batch, sums.tolist(), right.tolist(), strict=True):
                    found.append(Graded(one, total / len(one.learned), is_right))
        return found

    def judged_tokens(self, batch: Sequence[TokenSequence]) -> tuple[Tensor, Tensor, Tensor]:
        """The losses of a batch's learned tokens, the number of each one's sequence, and by sequence whether
        all are the most likely."""
        packing = self.network.pack(batch, self.shared)
        losses, best = self.network.answer_losses(packing)
        missed = (best != packing.targets).float()
        wrong = missed.new_zeros(len(batch)).index_add_(0, packing.owner, missed)
        return losses, packing.owner, wrong == 0

    def rows(self, batch: Sequence[Any]) -> Sequence[TokenSequence]:
        """The sequences that a batch puts through the network at once."""
        return batch

    def most(self, batch: Sequence[Any]) -> Sequence[TokenSequence]:
        """Sequences that take as much memory as a planned batch's pass."""
        return self.rows(batch)

    def items(self, batch: Sequence[Any], step: int) -> Sequence[Any]:
        """The items that the step learns from a planned batch: the batch itself, unless a subclass makes
        something of it first."""
        return batch

    def watched(self, step: int) -> Rolled | None:
        """The step's report besides its loss."""
        return None

    def loss(self, batch: Sequence[Any]) -> Tensor:
        """The batch's mean loss, for the backward pass. An override that is no mean of its parts' losses turns
        `splits` off."""
        losses, _ = self.network.answer_losses(self.network.pack(batch, self.shared))
        return losses.mean()

    def weight(self, batch: Sequence[Any]) -> float:
        """A batch's weight in a mean of losses: with these weights the losses of a batch's parts average to the
        batch's loss, if it `splits`."""
        return sum(len(sequence.learned) for sequence in batch)

    def parts(self, batch: Sequence[Any]) -> Sequence[Sequence[Any]]:
        """A batch's passes through the network, one part after the other."""
        if not batch or self.part_tokens is None:
            return [batch] if batch else []
        return cut(batch, self.part_tokens, self.shared)

    def in_parts(self, every: Sequence[Sequence[Any]]) -> Iterator[Sequence[Any]]:
        """Batches in parts for one pass each, when their order and borders do not matter."""
        return chain.from_iterable(map(self.parts, every))

    def shares(self, part: Sequence[Any]) -> Sequence[Sequence[Any]]:
        """A part's rows by thread, for concurrent passes. One share if a loss is not a mean of parts."""
        import torch

        rows = sum(len(item) for item in part)
        count = min(torch.get_num_threads(), len(part), rows // SHARE)
        if count < 2 or not self.splits or self.network.device.type != "cpu":
            return [part]
        return dealt(part, count)

    def check_sharing(self) -> None:
        """Raises UnsupportedError if several processes cannot share a batch."""
        if together.count() > 1 and not self.splits:
            raise UnsupportedError(
                "this method's loss is not the mean of a batch's parts; train in one process"
            )

    def before_validation(self) -> None:  # noqa: B027, most methods make nothing for it
        """Prepares a validation with the current weights; in every process."""

    def validate(self) -> tuple[float, float]:
        """The mean loss, and the share of right answers."""
        return self.examine()

    def examine(self) -> tuple[float, float]:
        """The mean loss, and the share of answers every token of which is the most likely."""
        import torch

        total, tokens, exact, count = 0.0, 0, 0, 0
        with torch.no_grad(), recorded(self.network) as self.importance:
            for batch in self.in_parts(self.validation):
                losses, _, right = self.judged_tokens(batch)
                total, tokens = total + float(losses.sum()), tokens + len(losses)
                exact, count = exact + int(right.sum()), count + len(batch)
        return total / tokens, exact / count

    def validate_on(self, count: int) -> None:
        """Validates on at most `count` rows from now on."""
        self.validation = some(self.validation, count)

    @abstractmethod
    def keep(self) -> None:
        """Writes the trained weights to the folder `result`, which is replaced as a whole."""

    @abstractmethod
    def stored(self, folder: Path) -> dict[str, Tensor]:
        """The weights that `keep` wrote to a folder, by parameter name."""

    def take_mean(self, folders: Sequence[Path]) -> None:
        """Loads the mean of the weights in the folders."""
        values = {name: parameter.data for name, parameter in self.network.parameters().items()}
        for value in values.values():
            value.zero_()
        for folder in folders:
            for name, stored in self.stored(folder).items():
                values[name].add_(stored.to(values[name].device))
        for value in values.values():
            value.div_(len(folders))

    def state(self) -> dict[str, Tensor]:
        """A checkpoint's tensors besides the trained weights."""
        return {}

    def restore(self, stored: dict[str, Tensor]) -> None:  # noqa: B027, most methods have no state
        """Restores the tensors that `state` returned."""

    def renew(self, step: int) -> None:  # noqa: B027, most methods have nothing to renew
        """Called after each checkpoint, written or resumed: computes state that follows from it alone, so that
        a resumed run computes the same. Raises FormatError for weights that no block can store."""

    def around(self, step: int) -> AbstractContextManager[None]:
        """The context of a step's forward and backward passes."""
        return nullcontext()


def placed(job: Job, *, learns: bool = True) -> tuple[torch.dtype, torch.device, str]:
    """The type of matrix products, the device, and how the type was chosen: once for all runs of a job, also
    after a kill, where the device has the type. learns: False in the first process alone, which measures
    without the others."""
    import torch

    from tinsmith.train.model import devices

    device, record = devices.choose(job.options.device), job.kept / PRODUCTS
    types = {devices.named(type): type for type in (torch.float32, torch.bfloat16)}
    kept, _, words = record.read_text("utf-8").partition("\n") if record.exists() else ("", "", "")
    if kept in types and devices.has_fast_bfloat16(device):
        found = types[kept], words
    else:
        found = devices.matrices(job.spec, device)
        if together.number() == 0:
            files.write_text(record, f"{devices.named(found[0])}\n{found[1]}")
    type, measured = together.from_first(found) if learns else found
    return type, device, measured
