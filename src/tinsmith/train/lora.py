"""LoRA training: from examples to an adapter folder in peft's format, resumable after a kill at any moment.

The same spec, examples, options and machine give the same adapter, whether or not training was interrupted.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith.data.readers import Example
from tinsmith.errors import InputError, MissingExtraError
from tinsmith.files import write_text
from tinsmith.models.spec import Spec
from tinsmith.train.options import (
    Event,
    Started,
    Step,
    TrainOptions,
    TrainResult,
    Validated,
    default_learning_rate,
)
from tinsmith.train.sequences import Encode, Tokenization, TokenSequence, batches, shared_prefix

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Event", "Started", "Step", "TrainOptions", "TrainResult", "Validated", "train"]

ADAPTER = "adapter"  # the folder in out_dir


def train(
    spec: Spec,
    examples: Sequence[Example],
    validation: Sequence[Example],
    options: TrainOptions,
    out_dir: Path,
    encode: Encode,
    on_event: Callable[[Event], None] = lambda event: None,
) -> TrainResult:
    """Trains an adapter of the base `spec` and writes the best one by validation to out_dir/adapter, with the
    chat template that it was trained under.

    encode: text to the base's token ids, special tokens recognized. A checkpoint in out_dir of the same spec,
    data and options is taken up; one of others is thrown away. Raises InputError or DataError for examples that
    don't fit, MissingExtraError without torch and peft.
    """
    if not examples or not validation:
        raise InputError("training needs at least one training example and one validation example")
    try:
        import peft  # noqa: F401
        import torch
        import transformers  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(error.name or "torch", "train") from None
    if options.threads:
        torch.set_num_threads(options.threads)
    tokenize = Tokenization(spec, encode, options.task, options.system, options.max_length)
    run = _Run(spec, tokenize(examples), tokenize(validation), options, out_dir, on_event)
    return run.finish()


@dataclass
class _Progress:
    """What a checkpoint holds besides tensors; all of it JSON."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    worse: int = 0  # epochs since the best one
    curve: list[tuple[int, float]] = field(default_factory=list)
    validations: list[dict[str, Any]] = field(default_factory=list)


class _Run:
    def __init__(
        self,
        spec: Spec,
        sequences: list[TokenSequence],
        validation: list[TokenSequence],
        options: TrainOptions,
        out_dir: Path,
        on_event: Callable[[Event], None],
    ) -> None:
        import torch

        from tinsmith.train import network
        from tinsmith.train.rough import Rough

        self.options, self.out_dir, self.on_event = options, out_dir, on_event
        self.template = spec.chat_template
        matrices = torch.bfloat16 if network.has_fast_bfloat16() else torch.float32
        torch.manual_seed(options.seed)
        self.network = network.build(
            spec, matrices, options.rank, options.alpha, options.dropout, options.targets
        )
        self.shared = len(shared_prefix([*sequences, *validation])) if self.network.packs else 0
        self.validation = batches(validation, options.batch_tokens, self.shared, 0, 0)
        epochs = [
            batches(sequences, options.batch_tokens, self.shared, options.seed, epoch)
            for epoch in range(options.epochs)
        ]
        self.epoch_ends = list(accumulate(len(epoch) for epoch in epochs))
        self.plan = [batch for epoch in epochs for batch in epoch]
        self.rough = Rough(spec, self.network, options.rough) if options.rough else None
        self.importance: dict[str, Tensor] = {}
        self.parameters = self.network.parameters()
        parameters = sum(tensor.rows * tensor.inputs for tensor in spec.tensors.values())
        if options.learning_rate is None:
            self.rate, self.note = default_learning_rate(parameters)
        else:
            self.rate, self.note = options.learning_rate, f"learning rate {options.learning_rate:g}, as given"
        self.optimizer = torch.optim.AdamW(
            self.parameters.values(),
            self.rate,
            betas=(0.9, 0.99),
            weight_decay=options.weight_decay,
            fused=True,
        )
        self.digest = _digest(spec, sequences, validation, options)
        self.progress = _Progress()

    def finish(self) -> TrainResult:
        """Goes on from the checkpoint, if there is one, to the end."""
        self._resume()
        progress, plan = self.progress, self.plan
        self.on_event(Started(progress.step, len(plan), self.rate, self.note))
        begun, first_tokens, before = time.monotonic(), progress.tokens, progress.seconds
        while progress.step < len(plan) and not self._is_out_of_patience():
            if progress.step % self.options.renew == 0:
                # Rough weights follow from a checkpoint alone, so that a resumed run makes the same ones.
                self._save()
                if self.rough:
                    self.rough.renew()
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
            adapter=self.out_dir / ADAPTER,
            learning_rate=self.rate,
            note=self.note,
            steps=progress.step,
            tokens=progress.tokens,
            seconds=progress.seconds,
            curve=progress.curve,
            validations=[Validated(**row) for row in progress.validations],
        )

    def _step(self, batch: Sequence[TokenSequence]) -> float:
        import torch

        progress = self.progress
        self.network.model.train()
        rate = self.rate * self._schedule(progress.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        is_rough = self.rough is not None and progress.step % 2 == 1
        with self.rough.applied() if self.rough and is_rough else nullcontext():
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
        import torch

        from tinsmith.train.importance import recorded

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
        """Keeps the adapter when it is the best: by exact answers, then, or where none is exact, by loss."""
        progress = self.progress
        earlier = [(row["exact"], -row["loss"]) for row in progress.validations]
        is_best = all((exact, -loss) > one for one in earlier)
        event = Validated(self.epoch_ends.index(progress.step) + 1, progress.step, loss, exact, is_best)
        progress.validations.append(asdict(event))
        progress.worse = 0 if is_best else progress.worse + 1
        if is_best:
            self._save_adapter()
        self.on_event(event)

    def _is_out_of_patience(self) -> bool:
        return 0 < self.options.patience <= self.progress.worse

    def _save_adapter(self) -> None:
        """The adapter's folder is replaced as a whole: written beside, then renamed."""
        from safetensors import SafetensorError

        from tinsmith.train import adapter, importance

        folder, fresh = self.out_dir / ADAPTER, self.out_dir / f".{ADAPTER}.new"
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            self.network.model.save_pretrained(str(fresh), save_embedding_layers=False)
        except (
            OSError,
            SafetensorError,
        ) as error:  # a full disk, by either of its writers
            shutil.rmtree(fresh, ignore_errors=True)
            raise InputError(f"{folder}: cannot write: {error}; free some space and run it again") from error
        importance.save(fresh, self.importance)
        if self.template is not None:
            write_text(fresh / adapter.TEMPLATE, self.template)
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)

    def _checkpoint_path(self) -> Path:
        from tinsmith.train import checkpoint

        return self.out_dir / checkpoint.NAME

    def _save(self) -> None:
        import torch

        from tinsmith.train import checkpoint

        tensors: dict[str, Tensor] = {f"weight:{name}": value for name, value in self.parameters.items()}
        tensors |= checkpoint.optimizer_tensors(self.optimizer, list(self.parameters))
        tensors["random"] = torch.get_rng_state()
        checkpoint.save(self._checkpoint_path(), tensors, {"digest": self.digest, **asdict(self.progress)})

    def _resume(self) -> None:
        import torch

        from tinsmith.train import checkpoint

        found = checkpoint.load(self._checkpoint_path())
        if found is None or found[1].pop("digest", None) != self.digest:
            return
        tensors, state = found
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(tensors[f"weight:{name}"])
        checkpoint.restore_optimizer(self.optimizer, list(self.parameters), tensors)
        torch.set_rng_state(tensors["random"])
        self.progress = _Progress(**state)
        self.progress.curve = [(step, loss) for step, loss in state["curve"]]
        self.note += f"; resumed at step {self.progress.step} of {len(self.plan)}"


def _digest(
    spec: Spec, sequences: Sequence[TokenSequence], validation: Sequence[TokenSequence], options: TrainOptions
) -> str:
    """Of all that decides how a run goes, so that a checkpoint of another run is not taken up."""
    digest = hashlib.sha256(json.dumps(asdict(options), sort_keys=True).encode())
    for part in (sequences, validation):
        digest.update(json.dumps([[sequence.prompt, sequence.answer] for sequence in part]).encode())
    for role, tensor in sorted(spec.tensors.items()):
        digest.update(f"{role} {tensor.format} {tensor.rows} {tensor.inputs}".encode())
        digest.update(tensor.data)
    return digest.hexdigest()
