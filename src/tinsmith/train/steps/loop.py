"""The training loop: steps, validations and checkpoints of any trainee."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor

from tinsmith.errors import FormatError, InputError
from tinsmith.system.from_json import from_json
from tinsmith.system.memory import resident
from tinsmith.train.events import Event, Point, Rolled, Started, Step, TrainResult, Validated
from tinsmith.train.layers.sharing import side_by_side
from tinsmith.train.model import devices
from tinsmith.train.options import TrainOptions
from tinsmith.train.steps import checkpoint, together
from tinsmith.train.steps.trainee import Trainee
from tinsmith.train.tensors import below

_STATE = "state:"  # before the names of the trainee's tensors


@dataclass
class _Progress:
    """A checkpoint's state besides tensors, as JSON."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    part_tokens: int | None = None
    curve: list[Point] = field(default_factory=list)
    validations: list[Validated] = field(default_factory=list)
    rollouts: list[Rolled] = field(default_factory=list)


class Loop:
    """One training run, resumable after a kill at any moment."""

    def __init__(
        self, trainee: Trainee, options: TrainOptions, out_dir: Path, on_event: Callable[[Event], None]
    ) -> None:
        self.trainee, self.options, self.out_dir, self.on_event = trainee, options, out_dir, on_event
        self._lay_out()
        self.parameters = trainee.network.parameters()
        self.optimizer = trainee.optimizer(options)
        self.note = trainee.note
        averaged = self.parameters if options.average else {}
        self.means = {name: value.detach().clone() for name, value in averaged.items()}
        self.progress = _Progress(part_tokens=trainee.part_tokens)

    def _lay_out(self) -> None:
        self.epoch_ends = list(accumulate(map(len, self.trainee.epochs)))
        self.plan = [batch for epoch in self.trainee.epochs for batch in epoch]

    def finish(self) -> TrainResult:
        """Runs to the end, from the checkpoint if there is one."""
        self.trainee.check_sharing()
        anew = self._resume()
        together.from_first(None)  # all have read the checkpoint before it is written again
        progress = self.progress
        self.on_event(Started(progress.step, len(self.plan), self.trainee.rate, self.note + anew))
        begun, first_tokens, before = time.monotonic(), progress.tokens, progress.seconds
        while progress.step < len(self.plan):
            self._begin_epoch()
            if progress.step % self.options.renew == 0:
                self._renew()
            batch = self.plan[progress.step]
            loss = self._step(batch)
            if not math.isfinite(loss):
                raise self._diverged(f"the loss is {loss}")
            progress.tokens += sum(len(sequence) for sequence in batch)
            progress.seconds = before + time.monotonic() - begun
            self._tell_step(loss, (progress.tokens - first_tokens) / (time.monotonic() - begun))
            if progress.step in self.epoch_ends:
                self._validate()
                progress.seconds = before + time.monotonic() - begun
        if together.number() == 0:
            checkpoint.drop(self.out_dir)
        return TrainResult(
            folder=self.trainee.result,
            learning_rate=self.trainee.rate,
            note=self.note,
            steps=progress.step,
            tokens=progress.tokens,
            seconds=progress.seconds,
            curve=progress.curve,
            validations=progress.validations,
            rollouts=progress.rollouts,
        )

    def _begin_epoch(self) -> None:
        """At an epoch's first step, settles its batches."""
        step = self.progress.step
        if step and step not in self.epoch_ends:
            return
        event = self.trainee.begin(sum(step >= end for end in self.epoch_ends))
        if event:
            self._lay_out()
            self.on_event(event)

    def _renew(self) -> None:
        """Writes a checkpoint, then renews state that depends on it."""
        if not all(bool(value.isfinite().all()) for value in self.parameters.values()):
            raise self._diverged("weights are infinite or NaN")
        self._save()
        try:
            self.trainee.renew(self.progress.step)
        except FormatError as error:
            if self.progress.step == 0:
                raise  # the base's own weights
            raise self._diverged(str(error)) from error

    def _diverged(self, what: str) -> InputError:
        return InputError(
            f"training diverged at step {self.progress.step} of {len(self.plan)}: {what}; give a "
            f'learning_rate below {self.trainee.rate:g}, or "search"'
        )

    def points(self) -> list[Point]:
        """The curve of the planned steps so far before it diverged."""
        return [point for point in self.progress.curve[: len(self.plan)] if math.isfinite(point.loss)]

    def _step(self, batch: Sequence[Sized]) -> float:
        progress = self.progress
        self.trainee.network.model.train()
        rate = self.trainee.rate * self._schedule(progress.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = self._backward(self.trainee.items(batch, progress.step))
        torch.nn.utils.clip_grad_norm_(self.parameters.values(), self.options.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self._average()
        progress.step += 1
        progress.curve.append(Point(progress.step, loss))
        if rolled := self.trainee.watched(progress.step):
            progress.rollouts.append(rolled)
            self.on_event(rolled)
        return loss

    def _backward(self, batch: Sequence[Sized]) -> float:
        """The batch's loss; adds gradients to the parameters. Each process takes its share of the batch, in
        parts that fit its memory."""
        trainee, loss, parameters = self.trainee, 0.0, list(self.parameters.values())

        def pass_of(share: Sequence[Sized]) -> tuple[float, Sequence[Tensor | None]]:
            own = trainee.loss(share)
            if len(share) < len(batch):
                own = own * (trainee.weight(share) / trainee.weight(batch))
            if not own.requires_grad:  # a batch without images while only the vision model is trained
                return own.item(), [None] * len(parameters)
            return own.item(), torch.autograd.grad(own, parameters, allow_unused=True)

        for part in trainee.parts(together.share(batch)):
            with trainee.around(self.progress.step):
                passes = side_by_side(trainee.shares(part), pass_of)
            for own, gradients in passes:  # in order, so that sums round alike
                loss += own
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    if gradient is not None:
                        sum_so_far = parameter.grad
                        # The optimizer takes a gradient's memory layout as it is.
                        parameter.grad = (
                            gradient.contiguous() if sum_so_far is None else sum_so_far.add_(gradient)
                        )
        return together.add(self.parameters, loss)

    @torch.no_grad()
    def _average(self) -> None:
        """Updates the mean weights: over all steps at first, then over about as many as the options say (an
        exponential moving average; Polyak and Juditsky)."""
        span = min(self.progress.step + 1, max(1.0, self.options.average * len(self.plan)))
        for name, mean in self.means.items():
            mean.lerp_(self.parameters[name], 1 / span)

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Within the block the network has the mean weights."""
        latest = {name: self.parameters[name].data for name in self.means}
        for name, mean in self.means.items():
            self.parameters[name].data = mean
        try:
            yield
        finally:
            for name, value in latest.items():
                self.parameters[name].data = value

    def _schedule(self, step: int) -> float:
        """The share of the learning rate: a linear rise, then half a cosine down to the floor."""
        steps, floor = len(self.plan), self.options.floor
        rise = max(1, round(self.options.warmup * steps))
        if step < rise:
            return (step + 1) / rise
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))

    def _tell_step(self, loss: float, speed: float) -> None:
        step, steps = self.progress.step, len(self.plan)
        epoch = 1 + sum(step > end for end in self.epoch_ends)
        rate = self.trainee.rate * self._schedule(step - 1)
        self.on_event(Step(step, steps, epoch, loss, rate, speed, resident()))

    def _validate(self) -> None:
        """Compares the latest and the averaged weights with the best so far."""
        self.trainee.network.model.eval()
        self._compare(averaged=False)
        if self.means:
            latest = self.trainee.importance
            with self._averaged():
                self._compare(averaged=True)
            self.trainee.importance = latest  # training continues from the latest weights

    def _compare(self, *, averaged: bool) -> None:
        progress = self.progress
        self.trainee.before_validation()
        loss, exact = together.from_first(self.trainee.validate() if together.number() == 0 else (0.0, 0.0))
        is_best = self._is_best(loss, exact)
        epoch = self.epoch_ends.index(progress.step) + 1
        event = Validated(epoch, progress.step, loss, exact, is_best, averaged, self.trainee.text_loss)
        progress.validations.append(event)
        if is_best and together.number() == 0:
            self.trainee.keep()
        self.on_event(event)

    def _is_best(self, loss: float, exact: float) -> bool:
        """Whether more answers are exact than ever before; or the loss is lower than the best epoch's, and the
        share of exact answers is within a standard error of the highest (Breiman et al., Classification and
        Regression Trees, 1984). Two or three points of a few hundred answers are luck, and an earlier epoch's
        weights do worse on other examples."""
        earlier = self.progress.validations
        if not earlier:
            return True
        kept = next(row.loss for row in reversed(earlier) if row.best)
        most = max(row.exact for row in earlier)
        answers = sum(map(len, self.trainee.validation))
        chance = math.sqrt(max(0.0, most * (1 - most)) / answers)
        return exact > most or (loss < kept and exact >= most - chance)

    def _save(self) -> None:
        if together.number():
            return
        tensors: dict[str, Tensor] = {f"weight:{name}": value for name, value in self.parameters.items()}
        tensors |= {f"mean:{name}": value for name, value in self.means.items()}
        tensors |= checkpoint.optimizer_tensors(self.optimizer, self.parameters)
        tensors |= devices.random_tensors(self.trainee.network.device)
        tensors |= {_STATE + name: value for name, value in self.trainee.state().items()}
        checkpoint.save(
            self.out_dir / checkpoint.NAME,
            tensors,
            {
                "digest": self.trainee.digest,
                "chosen": self.trainee.chosen,
                **asdict(self.progress),
            },
        )

    def _resume(self) -> str:
        """Loads the checkpoint if it belongs to this run. Returns a note for the report if it does not."""
        trainee = self.trainee
        trainee.prepare(self.on_event)  # computed with the initial weights
        saved = checkpoint.load(self.out_dir / checkpoint.NAME)
        if saved is None:
            return ""
        if saved[1].pop("digest", None) != trainee.digest:
            step = saved[1].get("step", 0)
            return f"; started over: recipe or data changed since the checkpoint at step {step}" if step else ""
        tensors, state = saved
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(tensors[f"weight:{name}"])
            for name, mean in self.means.items():
                mean.copy_(tensors[f"mean:{name}"])
        checkpoint.restore_optimizer(self.optimizer, self.parameters, tensors)
        devices.restore_random(trainee.network.device, tensors)
        trainee.restore(below(_STATE, tensors))
        if chosen := state.pop("chosen"):
            trainee.choose(chosen)
            self._lay_out()
        self.progress = from_json(_Progress, state)
        # Another split rounds sums differently: a resumed run keeps its own, unless memory is short.
        limits = [limit for limit in (trainee.part_tokens, self.progress.part_tokens) if limit]
        trainee.part_tokens = self.progress.part_tokens = min(limits, default=None)
        self.note += f"; resumed at step {self.progress.step} of {len(self.plan)}"
        return ""
