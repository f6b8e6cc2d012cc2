"""The train stage: an adapter of the base, or a whole model where there is no base."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tinsmith.pipeline import formats
from tinsmith.pipeline.prepared import load_base
from tinsmith.pipeline.stage import Made, Reporter
from tinsmith.pipeline.stages.train import progress
from tinsmith.pipeline.stages.train.job import job_of
from tinsmith.pipeline.stages.train.outputs import Qat, Trained
from tinsmith.pipeline.stages.train.plan import Inputs, decisive, plan, untested
from tinsmith.system import files
from tinsmith.system.from_json import digest_of
from tinsmith.train import methods
from tinsmith.train.adapters import peft_folder
from tinsmith.train.events import Event, Updated
from tinsmith.train.quantized import qat_adapter
from tinsmith.train.steps import logs
from tinsmith.train.steps.trainee import PRODUCTS
from tinsmith.train.trials import finished

if TYPE_CHECKING:
    from tinsmith.train.events import TrainResult
    from tinsmith.train.job import Job
    from tinsmith.train.quantized.qat_adapter import Preparation

FINISHED = "trained.json"  # beside an adapter's folder: what its training came to, and from what


def make(inputs: Inputs, folder: Path, reporter: Reporter) -> Made[Trained]:
    from tinsmith.train.steps import together

    together.call()
    result, outcome, qat = train(inputs, folder, reporter)
    if result.rollouts and all(step.alike == step.prompts for step in result.rollouts):
        reporter.note(
            "train: warning: nothing was learned, since in no step a prompt had answers that were worth more "
            "than others; teach the base with examples first and go on from there, or reward parts of an answer"
        )
    files.remove(folder / PRODUCTS)  # another training is measured anew
    facts = Trained(**result.facts, update=outcome, qat=qat)
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

    def train_one() -> TrainResult:
        return trained(inputs, job, job.out_dir / logs.FOLDER, reporter)

    return finished.once(job.out_dir / FINISHED, digest_of(decisive(inputs, job)), train_one), None


def prepared(
    inputs: Inputs, job: Job, result: TrainResult, preparation: Preparation, reporter: Reporter
) -> Qat:
    """The adapter for low-precision files."""
    name = preparation.preset if isinstance(preparation.preset, str) else preparation.preset.name
    reporter.note(f"train: quantization-aware training for {name}, from the first adapter")
    further = qat_adapter.job_of(job, result, preparation)

    def train_one() -> TrainResult:
        return trained(inputs, further, job.out_dir / logs.FOLDER / qat_adapter.FOLDER, reporter)

    begun = {"start": peft_folder.digest_of(result.folder), "rate": result.learning_rate}
    decided = {**decisive(inputs, job), "qat": inputs.decides["qat"], **begun}
    if "update" in decided:
        decided["update"] = untested(decided["update"])
    second = finished.once(further.out_dir / FINISHED, digest_of(decided), train_one)
    return Qat(name, second.note, second.steps, second.seconds, second.validations, second.curve)


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
