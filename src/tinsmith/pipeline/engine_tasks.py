"""What a recipe of several tasks runs: each task, then data → build → verify → adapters → … → report."""

from __future__ import annotations

from pathlib import Path

from tinsmith.errors import InputError
from tinsmith.pipeline import contents
from tinsmith.pipeline import engine as stages
from tinsmith.pipeline import recipe as recipes
from tinsmith.pipeline.recipe import Recipe
from tinsmith.pipeline.run import Nothing, Run, Stage, opened
from tinsmith.pipeline.stages import adapters, verify
from tinsmith.pipeline.stages import build_tasks as build
from tinsmith.pipeline.stages import data_tasks as data
from tinsmith.pipeline.stages import evaluate_tasks as measure
from tinsmith.pipeline.stages import report_tasks as report
from tinsmith.pipeline.stages import seal_tasks as seal
from tinsmith.pipeline.stages.build import Built
from tinsmith.pipeline.stages.data.make import Data
from tinsmith.pipeline.stages.report import make as alone
from tinsmith.pipeline.stages.seal import Sealed
from tinsmith.system.progress import Display
from tinsmith.train import methods

DATA = Stage("data", Nothing, Data, data.inputs, data.make)
BUILD = Stage("build", build.Needs, Built, build.inputs, build.make, ships=True)
VERIFY = Stage("verify", verify.Needs, verify.Verified, verify.inputs, verify.make)
ADAPTERS = Stage("adapters", adapters.Needs, adapters.Skilled, adapters.inputs, adapters.make, ships=True)
EVALUATE = Stage("evaluate", measure.Needs, measure.Measured, measure.inputs, measure.make)
SEAL = Stage("seal", seal.Needs, Sealed, seal.inputs, seal.make, ships=True)
REPORT = Stage("report", report.Needs, Nothing, alone.inputs, report.make)
STAGES = (DATA, BUILD, VERIFY, ADAPTERS, EVALUATE, SEAL, REPORT)
TRAIN, MEASURED = stages.TRAIN.name, (EVALUATE.name, REPORT.name)


def make(
    recipe: Recipe, folder: Path | None, display: Display, goal: str = "report", log: str | None = None
) -> Run:
    """Brings each task, and then the stage `goal` of the whole, up to date in `folder` (default: runs/<name>).

    As stages.make; `train` is the tasks' alone, and `build` ends with the adapters beside the base. The data of
    all tasks is there before any of them is trained.
    """
    if goal == stages.MERGE.name:
        raise InputError(
            f"{recipe.path}: the adapters of several tasks stand beside the base; nothing is merged"
        )
    assert recipe.router  # of a recipe with tasks
    compares = goal in MEASURED and recipe.router.compare
    with opened(recipe, folder or stages.default_folder(recipe), display) as run:
        data.check_files(run)
        if goal != DATA.name:
            _make_data(run, display)
        for name, one in recipe.tasks.items():
            display.line(f"task {name}:")
            merges = compares and methods.by_name(one.train.method).merges
            of_task = goal if merges or goal == DATA.name else TRAIN
            stages.make(one, data.folder_of(run.folder, name), display, of_task, log)
        run.update(STAGES, [DATA.name])
        if compares:
            display.line("one adapter for all tasks:")
            every = recipes.joint(recipe, run.folder)
            stages.make(every, run.folder / data.JOINT, display, EVALUATE.name, log)
        run.update(STAGES, [ADAPTERS.name, VERIFY.name] if goal == BUILD.name else [goal])
        if goal in (BUILD.name, EVALUATE.name):
            seal.place_unsealed(run, run.done(ADAPTERS), SEAL)
        stages.remove_earlier(run, BUILD)
        return run


def _make_data(run: Run, display: Display) -> None:
    """Raises DataError where the router could not be fitted on it, and InputError where the file of all tasks
    would not fit the target."""
    for name, one in run.recipe.tasks.items():
        stages.make(one, data.folder_of(run.folder, name), display, DATA.name)
    run.update(STAGES, [DATA.name])
    data.check_examples(run)
    if run.recipe.build.target:
        contents.check_target(run, run.done(DATA), *adapters.planned(run))
