"""What a recipe runs: data → baselines → train → merge → build → verify → evaluate → seal → report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tinsmith.data.splits import SPLITS
from tinsmith.errors import InputError
from tinsmith.pipeline import build, contents, data, measure, merge, report, seal, training, update, verify
from tinsmith.pipeline.recipe import Recipe
from tinsmith.pipeline.run import Made, Nothing, Run, Stage, opened
from tinsmith.system import files
from tinsmith.system.progress import Display
from tinsmith.train import methods
from tinsmith.train.steps import logs, together


def baselines(run: Run, needs: measure.BaselineNeeds) -> Made[measure.Measured]:
    """Prompted ones take minutes, after which training should not refuse what it could have refused before."""
    if set(run.recipe.eval.baselines) - set(measure.FREE) and not run.is_current(TRAIN):
        training.check(run, run.given(TRAIN))
    return measure.make_baselines(run, needs)


DATA = Stage("data", Nothing, data.Data, data.inputs, data.make)
BASELINES = Stage("baselines", measure.BaselineNeeds, measure.Measured, measure.baseline_inputs, baselines)
TRAIN = Stage("train", training.Needs, training.Trained, training.inputs, training.make, training.before)
MERGE = Stage("merge", merge.Needs, merge.Merged, merge.inputs, merge.make)
BUILD = Stage("build", build.Needs, build.Built, build.inputs, build.make, ships=True)
VERIFY = Stage("verify", verify.Needs, verify.Verified, verify.inputs, verify.make)
EVALUATE = Stage("evaluate", measure.Needs, measure.Measured, measure.inputs, measure.make)
SEAL = Stage("seal", seal.Needs, seal.Sealed, seal.inputs, seal.make, ships=True)
REPORT = Stage("report", report.Needs, Nothing, report.inputs, report.make)
STAGES = (DATA, BASELINES, TRAIN, MERGE, BUILD, VERIFY, EVALUATE, SEAL, REPORT)


def default_folder(recipe: Recipe) -> Path:
    """An update leaves the run alone that its adapter may be of."""
    return Path("runs") / f"{recipe.name}{'-updated' if recipe.update else ''}"


def remove_earlier(run: Run, built: Stage[Any, build.Built]) -> None:
    """What it built or sealed by another recipe, in formats or by a name that this one has not."""
    record = run.record(built)
    run.remove_earlier(set(record.facts.tins.values()) if record else ())


def help_train(recipe: Recipe, folder: Path | None, display: Display) -> None:
    """In a process that is not the first of several: trains along, and writes nothing."""
    settled = together.called()  # with the first one's prompts, which what was trained before decides
    if settled is not None:
        run = Run(settled, files.resolved(folder or default_folder(recipe)), display)
        training.train(run, run.given(TRAIN))


def make(
    recipe: Recipe, folder: Path | None, display: Display, goal: str = "report", log: str | None = None
) -> Run:
    """Brings the stage `goal`, and all it needs, up to date in `folder` (default: runs/<recipe name>).

    log: the kind of files that training writes its curves to, besides; None for none. Raises InputError, before
    anything runs, for a goal that the recipe's method has no model for.
    """
    method = methods.by_name(recipe.train.method)
    if not method.merges and goal not in (DATA.name, BASELINES.name, TRAIN.name):
        raise InputError(
            f'{recipe.path}: [train] method "{method.name}" trains {method.what}, which no model can be built '
            "from; `tinsmith make --until train` trains it, and `tinsmith adapters --add` seals it beside its "
            "base, as a recipe with [[task]] does"
        )
    if log is not None:
        logs.check(log)
    update.check_folder(recipe, folder or default_folder(recipe))
    with opened(update.asked_as_trained(recipe), folder or default_folder(recipe), display) as run:
        if run.recipe is not recipe:
            display.line(
                "data: what was trained here was trained on prompts as they are, and is kept; state "
                "quote_input = true in [data] to train with quoted-input repetition"
            )
        for name in (*map(data.split_name, SPLITS), report.JSON, report.PAGE):  # before a base is fetched
            run.check(run.folder / name)
        run.log = log
        before = run.record(TRAIN)
        if recipe.build.target and goal != "data":
            run.update(STAGES, ["data"])
            contents.check_target(run, run.done(DATA))
        run.update(STAGES, [goal])
        if log is not None and before is not None and before == run.record(TRAIN):
            run.display.line("train: --log writes curves while it runs, and it had ended before")
        if goal in (BUILD.name, VERIFY.name, EVALUATE.name):
            seal.place_unsealed(run, run.done(BUILD), SEAL)
        remove_earlier(run, BUILD)
        return run
