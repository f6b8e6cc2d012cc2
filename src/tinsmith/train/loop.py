"""Training's loop: steps, validations and checkpoints, whatever it is that is trained."""

from __future__ import annotations

import hashlib
import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tinsmith.spec import Spec
from tinsmith.train import checkpoint
from tinsmith.train.importance import recorded
from tinsmith.train.options import Event, Started, Step, TrainOptions, TrainResult, Validated
from tinsmith.train.sequences import TokenSequence, batches, shared_prefix

if TYPE_CHECKING:
    from torch import Tensor

    from tinsmith.train.network import Network


@dataclass
class _Progress:
    """What a checkpoint holds besides tensors; all of it JSON."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    worse: int = 0  # epochs since the best one
    curve: list[tuple[int, float]] = field(default_factory=list)
    validations: list[dict[str, Any]] = field(default_factory=list)


class Loop(ABC):
    """One training run of a network, resumable after a kill at any moment.

    rate, note: the highest learning rate, and how it was chosen; digest: of all that decides how the run goes:
    a checkpoint of another run is not taken up; result: the folder that `keep` writes the best to.
    """

    def __init__(
        self,
        network: Network,
        sequences: Sequence[TokenSequence],
        validation: Sequence[TokenSequence],
        options: TrainOptions,
        out_dir: Path,
        result: Path,
        on_event: Callable[[Event], None],
        rate: tuple[float, str],
        digest: str,
    ) -> None:
        self.network, self.options, self.out_dir, self.on_event = network, options, out_dir, on_event
        self.result, self.digest = result, digest
        self.rate, self.note = rate
        self.shared = len(shared_prefix([*sequences, *validation])) if network.packs else 0
        self.validation = batches(validation, options.batch_tokens, self.shared, 0, 0)
        epochs = [
            batches(sequences, options.batch_tokens, self.shared, options.seed, epoch)
            for epoch in range(options.epochs)
        ]
        self.epoch_ends = list(accumulate(len(epoch) for epoch in epochs))
        self.plan = [batch for epoch in epochs for batch in epoch]
        self.importance: dict[str, Tensor] = {}
        self.parameters = network.parameters()
        self.optimizer = torch.optim.AdamW(
            self.parameters.values(),
            self.rate,
            betas=(0.9, 0.99),
            weight_decay=options.weight_decay,
            fused=True,
        )
        self.progress = _Progress()

    @abstractmethod
    def keep(self) -> None:
        """Writes what is trained, as it is now, to the folder `result`, which is replaced as a whole."""

    def renew(self) -> None:  # noqa: B027, most kinds of training have nothing to renew
        """After each checkpoint: makes what follows from it alone."""

    def around(self, step: int) -> AbstractContextManager[None]:
        """What the forward and backward passes of a step run in."""
        return nullcontext()

    def finish(self) -> TrainResult:
        """Goes on from the checkpoint, if there is one, to the end."""
        self._resume()
        progress, plan = self.progress, self.plan
        self.on_event(Started(progress.step, len(plan), self.rate, self.note))
        begun, first_tokens, before = time.monotonic(), progress.tokens, progress.seconds
        while progress.step < len(plan) and not self._is_out_of_patience():
            if progress.step % self.options.renew == 0:
                self._save()
                self.renew()
            batch = plan[progress.step]
            loss = self._step(batch)
            progress.tokens += sum(len(sequence) for sequence in batch)
            progress.seconds = before + time.monotonic() - begun
            self._tell_step(loss, (progress.tokens - first_tokens) / (time.monotonic() - begun))
            if progress.step in self.epoch_ends:
                self._validate()
                progress.seconds = before + time.monotonic() - begun
        self._checkpoint_path().unlink(missing_ok=True)
        return TrainResult(
            folder=self.result,
            learning_rate=self.rate,
            note=self.note,
            steps=progress.step,
            tokens=progress.tokens,
            seconds=progress.seconds,
            curve=progress.curve,
            validations=[Validated(**row) for row in progress.validations],
        )

    def _step(self, batch: Sequence[TokenSequence]) -> float:
        progress = self.progress
        self.network.model.train()
        rate = self.rate * self._schedule(progress.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with self.around(progress.step):
            losses, _ = self.network.answer_losses(self.network.pack(batch, self.shared))
            loss = losses.mean()
            loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.parameters.values(), self.options.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        progress.step += 1
        progress.curve.append((progress.step, loss.item()))
        return progress.curve[-1][1]

    def _schedule(self, step: int) -> float:
        """The share of the learning rate: a linear rise, then half a cosine down to the floor."""
        steps, floor = len(self.plan), self.options.floor
        rise = max(1, round(self.options.warmup * steps))
        if step < rise:
            return (step + 1) / rise
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))

    def _tell_step(self, loss: float, speed: float) -> None:
        step, steps = self.progress.step, len(self.plan)
        left = sum(len(sequence) for batch in self.plan[step:] for sequence in batch) / speed
        epoch = 1 + sum(step > end for end in self.epoch_ends)
        rate = self.rate * self._schedule(step - 1)
        self.on_event(Step(step, steps, epoch, loss, rate, speed, left))

    def _validate(self) -> None:
        self.network.model.eval()
        total, tokens, exact, count = 0.0, 0, 0, 0
        with torch.no_grad(), recorded(self.network) as self.importance:
            for batch in self.validation:
                packing = self.network.pack(batch, self.shared)
                losses, best = self.network.answer_losses(packing)
                wrong = torch.zeros(len(batch)).index_add_(0, packing.owner, (best != packing.targets).float())
                total, tokens = total + float(losses.sum()), tokens + len(losses)
                exact, count = exact + int((wrong == 0).sum()), count + len(batch)
        self._record(total / tokens, exact / count)

    def _record(self, loss: float, exact: float) -> None:
        """Keeps what is trained when it is the best: by exact answers, then by loss."""
        progress = self.progress
        earlier = [(row["exact"], -row["loss"]) for row in progress.validations]
        is_best = all((exact, -loss) > one for one in earlier)
        event = Validated(self.epoch_ends.index(progress.step) + 1, progress.step, loss, exact, is_best)
        progress.validations.append(asdict(event))
        progress.worse = 0 if is_best else progress.worse + 1
        if is_best:
            self.keep()
        self.on_event(event)

    def _is_out_of_patience(self) -> bool:
        return 0 < self.options.patience <= self.progress.worse

    def _checkpoint_path(self) -> Path:
        return self.out_dir / checkpoint.NAME

    def _save(self) -> None:
        tensors: dict[str, Tensor] = {f"weight:{name}": value for name, value in self.parameters.items()}
        tensors |= checkpoint.optimizer_tensors(self.optimizer, list(self.parameters))
        tensors["random"] = torch.get_rng_state()
        checkpoint.save(self._checkpoint_path(), tensors, {"digest": self.digest, **asdict(self.progress)})

    def _resume(self) -> None:
        saved = checkpoint.load(self._checkpoint_path())
        if saved is None or saved[1].pop("digest", None) != self.digest:
            return
        tensors, state = saved
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(tensors[f"weight:{name}"])
        checkpoint.restore_optimizer(self.optimizer, list(self.parameters), tensors)
        torch.set_rng_state(tensors["random"])
        self.progress = _Progress(**state)
        self.progress.curve = [(step, loss) for step, loss in state["curve"]]
        self.note += f"; resumed at step {self.progress.step} of {len(self.plan)}"


def run_digest(
    spec: Spec, sequences: Sequence[TokenSequence], validation: Sequence[TokenSequence], options: TrainOptions
) -> str:
    """Of all that decides how a run from `spec` goes."""
    digest = hashlib.sha256(json.dumps(asdict(options), sort_keys=True).encode())
    for part in (sequences, validation):
        digest.update(json.dumps([[sequence.prompt, sequence.answer] for sequence in part]).encode())
    for role, tensor in sorted(spec.tensors.items()):
        digest.update(f"{role} {tensor.format} {tensor.rows} {tensor.inputs}".encode())
        digest.update(tensor.data)
    return digest.hexdigest()
