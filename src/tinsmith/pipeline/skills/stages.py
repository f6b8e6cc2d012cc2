"""What a recipe of several tasks runs: a run for each task, then data → build → verify → adapters → …"""

from __future__ import annotations

from pathlib import Path

from tinsmith.errors import InputError
from tinsmith.pipeline import contents, stages, verify
from tinsmith.pipeline.build import Built
from tinsmith.pipeline.data import Data
from tinsmith.pipeline.recipe import Recipe
from tinsmith.pipeline.run import Nothing, Run, Stage, opened
from tinsmith.pipeline.skills import adapters, build, data
from tinsmith.system.progress import Display
from tinsmith.train import logs

DATA = Stage("data", Nothing, Data, data.inputs, data.make)
BUILD = Stage("build", build.Needs, Built, build.inputs, build.make)
VERIFY = Stage("verify", verify.Needs, verify.Verified, verify.inputs, verify.make)
ADAPTERS = Stage("adapters", adapters.Needs, adapters.Skilled, adapters.inputs, adapters.make)
STAGES = (DATA, BUILD, VERIFY, ADAPTERS)
TRAIN = stages.TRAIN.name
# The stage of a task's run, and of the joint adapter's, that a goal of the whole needs.
OF_TASK = {DATA.name: DATA.name, TRAIN: TRAIN, BUILD.name: TRAIN}


def make(
    recipe: Recipe, folder: Path | None, display: Display, goal: str = "report", log: str | None = None
) -> Run:
    """Brings each task, and then the stage `goal` of the whole, up to date in `folder` (default: runs/<name>).

    As stages.make; `train` is the tasks' alone, and `build` ends with the adapters beside the base.
    """
    if goal == stages.MERGE.name:
        raise InputError(
            f"{recipe.path}: the adapters of several tasks stand beside the base; nothing is merged"
        )
    if log is not None:
        logs.check(log)
    folder = folder or stages.default_folder(recipe)
    with opened(recipe, folder, display) as run:
        for name, one in recipe.tasks.items():
            display.line(f"task {name}:")
            stages.make(one, data.folder_of(run.folder, name), display, OF_TASK.get(goal, goal), log)
        run.update(STAGES, [DATA.name])
        if recipe.build.target:
            contents.check_target(run, run.done(DATA))
        run.update(STAGES, [ADAPTERS.name, VERIFY.name] if goal == BUILD.name else [goal])
        return run
