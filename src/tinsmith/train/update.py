"""Updates an adapter with new examples: continues it, or retrains on all examples, whichever validates better;
and measures forgetting."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from tinsmith.data.readers import Example
from tinsmith.system import files
from tinsmith.train.adapters import peft_folder
from tinsmith.train.batches.sequences import TokenSequence
from tinsmith.train.events import CONTINUED, OLD_VALIDATION, RETRAINED, START, Score, TrainResult, Updated
from tinsmith.train.job import Job
from tinsmith.train.options import RETRAIN_ALWAYS, RETRAIN_AUTO
from tinsmith.train.steps import together
from tinsmith.train.steps.trainee import Graded
from tinsmith.train.trials import finished

FOLDER = "update"  # in a run's: both adapters
FORGOTTEN = 100  # "auto" retrains if more than one in so many old validation answers is lost
RESULT = "result.json"

Train = Callable[[str, Job], TrainResult]  # by the name of what is trained
Sets = Mapping[str, Sequence[Example]]
Sequences = Mapping[str, Sequence[TokenSequence]]


@dataclass(frozen=True)
class Plan:
    """job: continues the adapter with the new examples; whole: trains a new adapter on all examples; retrain:
    one of RETRAINS; sets: the examples to measure on, by name; digests: of everything that decides each of
    the two, by its name."""

    job: Job
    whole: Job
    retrain: str
    sets: Sets
    digests: Mapping[str, str]


def update(plan: Plan, train: Train, say: Callable[[str], None]) -> tuple[TrainResult, Updated]:
    """Trains, and writes the better adapter to training's usual folder. Completed trainings are not repeated:
    `job.out_dir`/update keeps both."""
    assert plan.job.start
    tokenize = _measuring(plan).tokenization()  # first, so that errors come before training
    sequences = {name: tokenize(rows) for name, rows in plan.sets.items()}
    results = {CONTINUED: _trained(plan, CONTINUED, plan.job, train)}
    graded = {
        START: _graded(plan, sequences, plan.job.start),
        CONTINUED: _graded(plan, sequences, results[CONTINUED].folder),
    }
    scores = _scores(graded)
    old = scores[CONTINUED][OLD_VALIDATION]
    lost = old.lost - old.gained
    if plan.retrain == RETRAIN_ALWAYS or (plan.retrain == RETRAIN_AUTO and lost * FORGOTTEN > old.items):
        say(f"update: old validation: {100 * lost / old.items:.1f} points lost; retraining on all examples")
        results[RETRAINED] = _trained(plan, RETRAINED, plan.whole, train)
        result = results[RETRAINED]
        graded[RETRAINED] = _graded(plan, sequences, result.folder)
        scores = _scores(graded)
    kept = max(results, key=lambda name: results[name].worth)
    target = plan.job.out_dir / results[kept].folder.name
    if together.number() == 0:
        with files.atomic_folder(target, replaces=peft_folder.CONFIG) as fresh:
            for path in sorted(results[kept].folder.iterdir()):
                shutil.copyfile(path, fresh / path.name)
    together.from_first(None)
    seconds = {name: result.seconds for name, result in results.items()}
    return replace(results[kept], folder=target), Updated(kept, scores, seconds)


def _trained(plan: Plan, name: str, job: Job, train: Train) -> TrainResult:
    folder, digest = job.out_dir / FOLDER / name, plan.digests[name]
    return finished.once(folder / RESULT, digest, lambda: train(name, replace(job, out_dir=folder)))


def _measuring(plan: Plan, start: Path | None = None) -> Job:
    """A job that measures the sets, whose sequences may fill the model's context."""
    options = plan.job.options
    longest = max(options.max_length, plan.job.spec.hyper.context)
    every = [example for rows in plan.sets.values() for example in rows]
    options = replace(options, epochs=1, qat=None, average=0.0, max_length=longest)
    job = replace(plan.job, examples=every, validation=every[:1], variants=(), known=(), options=options)
    return replace(job, start=start)


def _graded(plan: Plan, sequences: Sequences, folder: Path) -> dict[str, list[Graded]]:
    """Each set's sequences, graded with the adapter in a folder."""
    if together.number():
        return together.from_first({})
    from tinsmith.train.methods.lora import AdapterTrainee

    trainee = AdapterTrainee(_measuring(plan, folder), learns=False)
    graded: dict[str, list[Graded]] = {}
    for name, rows in sequences.items():
        found = {one.sequence: one for one in trainee.graded(rows)}
        graded[name] = [found[row] for row in rows]
    return together.from_first(graded)


def _scores(graded: Mapping[str, Mapping[str, Sequence[Graded]]]) -> dict[str, dict[str, Score]]:
    """By adapter and set."""

    def score(name: str, rows: Sequence[Graded]) -> Score:
        before = graded[START][name]
        return Score(
            items=len(rows),
            loss=fmean(row.loss for row in rows),
            exact=fmean(row.right for row in rows),
            lost=sum(was.right and not now.right for was, now in zip(before, rows, strict=True)),
            gained=sum(now.right and not was.right for was, now in zip(before, rows, strict=True)),
        )

    return {one: {name: score(name, rows) for name, rows in sets.items()} for one, sets in graded.items()}
