"""The contestants of training.py: tinsmith, and transformers' Trainer with peft, under one clock."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from recipe_job import job

from tinsmith.errors import UnsupportedError
from tinsmith.pipeline import recipe as recipes
from tinsmith.system.memory import most_resident

FOLDER, DATA = "base", "data.json"  # in --out: the base for transformers, and the sequences
TYPES = ("float32", "autocast", "bfloat16")
IGNORED = -100  # what transformers calls a token without a loss
Row = tuple[list[int], list[int]]  # the tokens of a prompt and of its answer


@dataclass(frozen=True)
class Contest:
    """What all contestants share. steps: where each stops, 0 for all; validations: in an epoch, 0 for none at
    all; data: the digest of the sequences and the options."""

    recipe: str
    out: str
    examples: int | None
    steps: int
    validations: int
    threads: int
    data: str = ""

    def interval(self, steps: int) -> int:
        """Of an epoch's steps, those from one validation to the next."""
        return max(1, round(steps / self.validations)) if self.validations else 0


@dataclass(frozen=True)
class Peer:
    """How transformers and peft train. type: of TYPES; warmup: steps, or below 1 their share."""

    rate: float
    type: str
    epochs: int
    rank: int
    alpha: float
    batch: int
    warmup: float
    decay: float
    seed: int
    targets: Sequence[str] | str = "all-linear"  # all but the head, as tinsmith's default


@dataclass
class Watch:
    """A run's clock, which stands still while it validates. every: steps from one validation to the next, 0
    for none; curve: step, seconds, seconds of all cores, loss."""

    every: int = 0
    tokens: int = 0
    curve: list[tuple[int, float, float, float | None]] = field(default_factory=list)
    born: float = field(default_factory=time.perf_counter)

    def begin(self, validate: Callable[[], float]) -> None:
        self.validate, self.loading = validate, time.perf_counter() - self.born
        self.begun, self.worked = time.perf_counter(), time.process_time()
        self.look(0, False)

    def look(self, step: int, is_last: bool) -> None:
        is_due = bool(self.every) and (is_last or step % self.every == 0)
        if not is_due and not is_last:
            return
        seconds, work = time.perf_counter() - self.begun, time.process_time() - self.worked
        loss = self.validate() if is_due else math.nan
        self.curve.append((step, round(seconds, 3), round(work, 3), loss if math.isfinite(loss) else None))
        self.begun, self.worked = time.perf_counter() - seconds, time.process_time() - work

    def report(self) -> dict[str, Any]:
        steps, seconds, work, _ = self.curve[-1]
        return {
            "steps": steps,
            "seconds": seconds,
            "core_seconds": work,
            "loading_seconds": round(self.loading, 1),
            "tokens": self.tokens,
            "tokens_per_second": round(self.tokens / seconds, 1),
            "peak_bytes": most_resident(),
            "best_loss": min((loss for *_, loss in self.curve if loss is not None), default=None),
            "curve": self.curve,
        }


def prepare(contest: Contest) -> tuple[Contest, Peer]:
    """Writes the base as transformers reads it, and the sequences; the peer that is set as tinsmith is."""
    from tinsmith import models
    from tinsmith.train.batches.sequences import batches, shared_prefix
    from tinsmith.train.tensors import from_float32, to_float32

    out = Path(contest.out)
    given = job(recipes.load(contest.recipe), out, contest.examples)
    spec, options, tokenize = given.spec, given.options, given.tokenization()
    if options.search:
        raise UnsupportedError('learning_rate = "search" is not timed; state a rate, or "auto"')
    train, validation = tokenize(given.examples), tokenize(given.validation)
    # Whole or not at all, for an interrupted preparation.
    if not (out / FOLDER).exists():
        tensors = {role: from_float32(to_float32(tensor)) for role, tensor in spec.tensors.items()}
        models.save_hf(replace(spec, tensors=tensors), out / f"{FOLDER}.new")
        (out / f"{FOLDER}.new").rename(out / FOLDER)
    parts = {"train": train, "validation": validation}
    rows = {name: [(one.prompt, one.answer) for one in part] for name, part in parts.items()}
    text = json.dumps({"pad": spec.tokenizer.pad or 0, **rows})
    (out / DATA).write_text(text, encoding="utf-8")
    shared = len(shared_prefix([*train, *validation]))
    mean = len(train) / len(batches(train, options.batch_tokens, shared, options.seed, 0))
    digest = hashlib.sha256(f"{given.digest()}{text}".encode()).hexdigest()
    shape = (options.epochs, options.rank, options.alpha, round(mean), options.warmup, options.weight_decay)
    return replace(contest, data=digest), Peer(0, "", *shape, options.seed, options.targets or "all-linear")


def run_tinsmith(contest: Contest) -> dict[str, Any]:
    """By the recipe's method and defaults; nothing that training would write but its checkpoints is written."""
    watch = Watch()
    import torch

    from tinsmith.train import methods
    from tinsmith.train.events import Event, Started, Step
    from tinsmith.train.steps.loop import Loop

    recipe = recipes.load(contest.recipe)
    folder = Path(contest.out) / "tinsmith"
    shutil.rmtree(folder, ignore_errors=True)  # a resumed run's clock would tell nothing
    given = job(recipe, folder, contest.examples)
    torch.set_num_threads(contest.threads)
    torch.manual_seed(given.options.seed)
    method = methods.by_name(recipe.train.method)
    method.check(given)
    trainee = method.trainee(given)
    watch.every = contest.interval(len(trainee.epochs[0]))

    def validate() -> float:
        trainee.network.model.eval()
        return trainee.validate()[0]

    def tell(event: Event) -> None:
        if isinstance(event, Started):
            watch.begin(validate)
        elif isinstance(event, Step):
            watch.tokens += sum(map(len, loop.plan[event.step - 1]))
            watch.look(event.step, event.step == event.steps)

    class Timed(Loop):
        """Validated by the clock alone."""

        def _validate(self) -> None:
            pass

    loop = Timed(trainee, given.options, folder, tell)
    if contest.steps:
        loop.plan = loop.plan[: contest.steps]
    loop.finish()
    return {"learning_rate": trainee.rate, **watch.report()}


def run_peer(contest: Contest, peer: Peer) -> dict[str, Any]:
    watch = Watch()
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, PrinterCallback, Trainer, TrainerCallback

    torch.set_num_threads(contest.threads)
    torch.manual_seed(peer.seed)
    out = Path(contest.out)
    data = json.loads((out / DATA).read_text(encoding="utf-8"))
    rows = [labelled(row) for row in data["train"]]
    watch.every = contest.interval(-(-len(rows) // peer.batch))
    kind = torch.bfloat16 if peer.type == "bfloat16" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(out / FOLDER, dtype=kind)
    lora = LoraConfig(
        r=peer.rank, lora_alpha=peer.alpha, target_modules=peer.targets, task_type="CAUSAL_LM", lora_dropout=0
    )
    model = get_peft_model(model, lora)

    def padded(batch: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return pad(batch, data["pad"])

    class Clocked(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            watch.begin(lambda: validation_loss(model, peer.type, padded, data["validation"]))

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            watch.look(state.global_step, state.global_step == state.max_steps)

    class Counting(Trainer):
        def training_step(self, model: Any, inputs: Any, *more: Any) -> Any:
            mask = inputs["attention_mask"]
            watch.tokens += int(mask.sum()) - len(mask)  # a row's last token is only predicted
            return super().training_step(model, inputs, *more)

    trainer = Counting(
        model, arguments(contest, peer), data_collator=padded, train_dataset=rows, callbacks=[Clocked()]
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return watch.report()


def arguments(contest: Contest, peer: Peer) -> Any:
    """Trainer's, that write and tell nothing."""
    from transformers import TrainingArguments

    return TrainingArguments(
        output_dir=str(Path(contest.out) / "trainer"),
        num_train_epochs=peer.epochs,
        max_steps=contest.steps or -1,
        per_device_train_batch_size=peer.batch,
        train_sampling_strategy="group_by_length",
        learning_rate=peer.rate,
        lr_scheduler_type="linear",
        warmup_steps=peer.warmup,
        weight_decay=peer.decay,
        bf16=peer.type == "autocast",
        use_cpu=True,
        seed=peer.seed,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


def labelled(row: Row) -> dict[str, Any]:
    prompt, answer = row
    return {"input_ids": prompt + answer, "labels": [IGNORED] * len(prompt) + answer}


def pad(batch: Sequence[dict[str, Any]], filler: int) -> dict[str, Any]:
    """Rows to one length, by tokens that neither are attended to nor have a loss."""
    import torch

    longest = max(len(row["input_ids"]) for row in batch)

    def rows(key: str, fill: int) -> Any:
        return torch.tensor([row[key] + [fill] * (longest - len(row[key])) for row in batch])

    lengths = torch.tensor([[len(row["input_ids"])] for row in batch])
    mask = (torch.arange(longest) < lengths).long()
    return {"input_ids": rows("input_ids", filler), "labels": rows("labels", IGNORED), "attention_mask": mask}


def validation_loss(model: Any, kind: str, padded: Callable[..., dict[str, Any]], rows: Sequence[Row]) -> float:
    """The mean over all answers' tokens, in the type that the model is trained in."""
    import torch

    ordered = sorted(map(labelled, rows), key=lambda row: len(row["input_ids"]))
    total, count = 0.0, 0
    was_training = model.training
    model.eval()
    narrow = torch.autocast("cpu", torch.bfloat16) if kind == "autocast" else nullcontext()
    with torch.no_grad(), narrow:
        for begin in range(0, len(ordered), 8):
            batch = padded(ordered[begin : begin + 8])
            labels = batch.pop("labels")[:, 1:].flatten()
            logits = model(**batch).logits[:, :-1].float().flatten(0, 1)
            total += float(torch.nn.functional.cross_entropy(logits, labels, reduction="sum"))
            count += int((labels != IGNORED).sum())
    model.train(was_training)
    return total / count
