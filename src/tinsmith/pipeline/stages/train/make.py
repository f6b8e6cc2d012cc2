"""The train stage: an adapter of the base, or a whole model where there is no base."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith.formats.model_files import model_digest
from tinsmith.pipeline import formats, update
from tinsmith.pipeline.prepared import ANSWER, Prepared, load_base
from tinsmith.pipeline.stage import Made, Reporter, digest_of
from tinsmith.pipeline.stages.train import progress
from tinsmith.pipeline.stages.train.job import (
    Inputs,
    decisive,
    job_of,
    plan,
    reward_files,
    teacher_path,
    untested,
)
from tinsmith.pipeline.stages.train.options import options
from tinsmith.system import files
from tinsmith.train import methods
from tinsmith.train.adapters import peft_folder
from tinsmith.train.events import Event, Point, Rolled, Seeded, TrainResult, Trial, Updated, Validated
from tinsmith.train.quantized import qat_adapter
from tinsmith.train.quantized.qat_adapter import Preparation
from tinsmith.train.steps import logs, together
from tinsmith.train.trials import finished

if TYPE_CHECKING:
    from tinsmith.train.job import Job

FINISHED = "trained.json"  # beside an adapter's folder: what its training came to, and from what


@dataclass(frozen=True)
class Qat:
    """format: whose errors it was trained under; note, steps, seconds, curve: as of Trained, of it alone;
    validations: under these errors."""

    format: str
    note: str
    steps: int
    seconds: float
    validations: list[Validated]
    curve: list[Point] = field(default_factory=list)


@dataclass(frozen=True)
class Trained:
    """note: how the learning rate was chosen; tokens, seconds: of all steps, of every seed; curve: the loss
    after each, of the best seed; trials: of learning rates, the best last; seeds: of several runs, the mean
    last; update: what became of an adapter that learned new examples; qat: an adapter of its own for files of
    quantized weights; rollouts: of each step, where answers are drawn."""

    learning_rate: float
    note: str
    steps: int
    tokens: int
    seconds: float
    curve: list[Point]
    validations: list[Validated]
    trials: list[Trial] = field(default_factory=list)
    seeds: list[Seeded] = field(default_factory=list)
    update: Updated | None = None
    qat: Qat | None = None
    rollouts: list[Rolled] = field(default_factory=list)

    def seconds_in_all(self, last: float) -> float:
        """What training took. last: seconds of the process that ended it; `seconds` are those of all steps,
        whichever process took them."""
        steps = sum(self.update.seconds.values()) if self.update else self.seconds
        return round(max(last, steps + (self.qat.seconds if self.qat else 0)), 3)


def of_train(prepared: Prepared) -> dict[str, Any]:
    """The parts of data and recipe that decide the result. The device does not: it trains the same model."""
    recipe, base, examples = prepared.recipe, prepared.base, prepared.counts["train"]
    teacher, made = teacher_path(recipe, base.path), prepared.is_augmented
    scored = [files.sha256_file(path) for path in reward_files(recipe)]
    is_grpo = "reward" in methods.by_name(recipe.train.method).keys
    stated = dataclasses.asdict(recipe.train) | {"epochs": recipe.passes(examples, made)}
    stated["originals_once"] = recipe.reads_originals_once(examples, made)
    del stated["device"]
    return {
        "train": stated,
        "qat": formats.prepare_digests(prepared),
        "task": recipe.data.task,
        "system": recipe.data.system,
        "base": base.sha256,
        "template": base.template,
        "data": list(prepared.model_data.values()),
        **({"teacher": model_digest(teacher)} if teacher and teacher.exists() else {}),
        "augmented": made,
        **_of_update(prepared),
        **({"constraint": prepared.digests[ANSWER]} if is_grpo and prepared.constraint is not None else {}),
        **({"scored": scored} if scored else {}),
    }


def _of_update(prepared: Prepared) -> dict[str, Any]:
    """The old and the new tests decide no weight, but they are measured in training."""
    recipe, new = prepared.recipe, prepared.new
    stated, start = recipe.update, update.folder(recipe)
    if stated is None or start is None:
        return {}
    found: dict[str, Any] = {"adapter": peft_folder.digest_of(start), "learning_rate": stated.learning_rate}
    if new:
        whole, made = prepared.counts["train"], prepared.is_augmented
        chosen = options(recipe, whole - new.train, made=made, goes_on=True)
        found |= {
            "new": dataclasses.asdict(new),
            "epochs": chosen.epochs,
            "retrain": stated.retrain,
            "test": prepared.split_digest("test"),
        }
        if chosen.originals_once != recipe.reads_originals_once(whole, made):
            found["originals_once"] = chosen.originals_once
    return {"update": found}


def digests(inputs: Inputs) -> dict[str, Any]:
    return dict(inputs.decides)


def make(inputs: Inputs, folder: Path, reporter: Reporter) -> Made[Trained]:
    together.call()
    result, outcome, qat = train(inputs, folder, reporter)
    if result.rollouts and all(step.alike == step.prompts for step in result.rollouts):
        reporter.note(
            "train: warning: nothing was learned, since in no step a prompt had answers that were worth more "
            "than others; teach the base with examples first and go on from there, or reward parts of an answer"
        )
    found = {key: value for key, value in vars(result).items() if key != "folder"}
    found["curve"] = [Point(step, loss) for step, loss in result.curve]
    facts = Trained(**found, update=outcome, qat=qat)
    qat_folder = folder / qat_adapter.FOLDER / result.folder.name
    folders = [result.folder, *([qat_folder] if qat else [])]
    return Made(sorted(path for one in folders for path in one.iterdir() if path.is_file()), facts)


def train(inputs: Inputs, folder: Path, reporter: Reporter) -> tuple[TrainResult, Updated | None, Qat | None]:
    data = inputs.data
    spec = load_base(data.recipe, data.base.path)
    for note in spec.notes:
        reporter.note(f"base: {note}")
    with reporter.step("train", 1):
        preparation = formats.prepare(data, spec, folder, reporter)
        if preparation is None or methods.by_name(data.recipe.train.method).one_adapter:
            return *first(inputs, job_of(data, spec, folder, preparation), reporter), None
        job = job_of(data, spec, folder)
        result, outcome = first(inputs, job, reporter)
        return result, outcome, prepared(inputs, job, result, preparation, reporter)


def first(inputs: Inputs, job: Job, reporter: Reporter) -> tuple[TrainResult, Updated | None]:
    """Trains what the recipe states, unless that is done: other files may need a second adapter only."""
    if inputs.data.new is not None:
        return updated(inputs, job, reporter)

    train_one = partial(trained, inputs, job, job.out_dir / logs.FOLDER, reporter)
    return finished.once(job.out_dir / FINISHED, digest_of(decisive(inputs, job)), train_one), None


def prepared(
    inputs: Inputs, job: Job, result: TrainResult, preparation: Preparation, reporter: Reporter
) -> Qat:
    """The adapter for low-precision files."""
    name = preparation.preset if isinstance(preparation.preset, str) else preparation.preset.name
    reporter.note(f"train: quantization-aware training for {name}, from the first adapter")
    further = qat_adapter.job_of(job, result, preparation)
    train_one = partial(trained, inputs, further, job.out_dir / logs.FOLDER / qat_adapter.FOLDER, reporter)
    begun = {"start": peft_folder.digest_of(result.folder), "rate": result.learning_rate}
    decided = {**decisive(inputs, job), "qat": inputs.decides["qat"], **begun}
    if "update" in decided:
        decided["update"] = untested(decided["update"])
    second = finished.once(further.out_dir / FINISHED, digest_of(decided), train_one)
    curve = [Point(step, loss) for step, loss in second.curve]
    return Qat(name, second.note, second.steps, second.seconds, second.validations, curve)


def updated(inputs: Inputs, job: Job, reporter: Reporter) -> tuple[TrainResult, Updated]:
    """The adapter with the new examples, and its scores on old and new ones."""
    from tinsmith.train.update import update as learn

    def train_one(name: str, one: Job) -> TrainResult:
        return trained(inputs, one, job.out_dir / logs.FOLDER / name, reporter)

    result, outcome = learn(plan(inputs, job), train_one, reporter.note)
    for line in progress.lines(outcome):
        reporter.note(line)
    return result, outcome


def trained(inputs: Inputs, job: Job, log: Path, reporter: Reporter) -> TrainResult:
    """log: the folder for curves, where they are wanted."""
    from tinsmith.train.run import train

    method = inputs.data.recipe.train.method
    shown = progress.Progress(reporter, methods.by_name(method).found)
    if inputs.log is None:
        return train(method, job, shown.show)
    with logs.opened(inputs.log, log) as write:

        def note(event: Event) -> None:
            shown.show(event)
            write(event)

        return train(method, job, note)
