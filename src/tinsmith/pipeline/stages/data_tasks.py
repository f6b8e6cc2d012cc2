"""The data stage of several tasks: the base, and the run's own copies of what the tasks' runs have."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from tinsmith.data.readers import Example
from tinsmith.data.splits import SPLITS, shared_inputs
from tinsmith.errors import DataError
from tinsmith.formats.model_files import model_files
from tinsmith.pipeline import engine as stages
from tinsmith.pipeline import measuring as measure
from tinsmith.pipeline.examples import write_examples
from tinsmith.pipeline.run import Made, Nothing, Record, Run
from tinsmith.pipeline.stages.data import make as data
from tinsmith.pipeline.stages.data.make import LICENSES, Data
from tinsmith.system import files, reading

TASKS, JOINT = "tasks", "joint"  # folders of a run: a run for each task, and one of a single adapter for all
OFF_TOPIC = {"off_topic": "data/off_topic.txt", "test": "data/off_topic_test.txt"}  # by the key of [router]


def folder_of(folder: Path, task: str) -> Path:
    """Of a task's run."""
    return folder / TASKS / task


def runs(run: Run) -> dict[str, Run]:
    """The tasks' runs as they are now."""
    return {name: Run(one, folder_of(run.folder, name), run.display) for name, one in run.recipe.tasks.items()}


def made(one: Run) -> Record[Data]:
    return one.done(stages.DATA)


def inputs(run: Run, needs: Nothing) -> dict[str, Any]:
    return {
        **data.origin(run),
        "tasks": {name: made(one).digests for name, one in runs(run).items()},
        "off_topic": {key: files.sha256_file(path) for key, path in _stated(run).items() if path.exists()},
        "data": dataclasses.asdict(run.recipe.data),
        "test": [run.recipe.eval.limit, run.recipe.eval.seed],
    }


def make(run: Run, needs: Nothing) -> Made[Data]:
    tasks = runs(run)
    base = data.find_base(run)
    splits: dict[str, list[Example]] = {split: [] for split in SPLITS}
    for name, one in tasks.items():
        for split, kept in splits.items():
            examples = measure.test_items(one) if split == "test" else data.examples(one, split)
            kept += [dataclasses.replace(example, part=name) for example in examples]
    outputs = [run.folder / data.split_name(split) for split in SPLITS]
    for split, path in zip(SPLITS, outputs, strict=True):
        write_examples(path, splits[split])
    for key, path in _stated(run).items():
        outputs.append(run.folder / OFF_TOPIC[key])
        files.write_text(outputs[-1], "".join(f"{line}\n" for line in _prompts(run, key, path)))
    if run.recipe.data.licenses:
        outputs.append(run.folder / LICENSES)
        texts = {name: one.folder / LICENSES for name, one in tasks.items() if one.recipe.data.licenses}
        files.write_text(
            outputs[-1],
            "\n".join(f"{name}\n\n{reading.read_text(path, DataError)}" for name, path in texts.items()),
        )
    facts = [made(one).facts for one in tasks.values()]
    return Made(
        [*model_files(Path(base.path)), *outputs],
        Data(
            base=base,
            constraint=None,
            test_outputs_forbidden=sum(one.test_outputs_forbidden for one in facts),
            counts={split: len(rows) for split, rows in splits.items()},
            sources={},
            test_inputs_in_train=len(shared_inputs(splits["train"], splits["test"])),
        ),
    )


def check_files(run: Run) -> None:
    """Raises DataError where [router] names a file that a router can't be fitted on or measured with. One that
    is not there may be made by a task's command."""
    makes = any(one.data.command for one in run.recipe.tasks.values())
    for key, path in _stated(run).items():
        if path.exists() or not makes:
            _prompts(run, key, path)


def check_examples(run: Run) -> None:
    """Raises DataError where a task has too few examples for the router to be fitted on."""
    from tinsmith.train.adapters.router import LEAST

    assert run.recipe.router  # of a recipe with tasks
    most = run.recipe.router.examples
    for name, one in runs(run).items():
        counts = made(one).facts.counts
        if sum(min(most, counts[split]) for split in ("train", "validation")) < LEAST:
            raise DataError(
                f"{run.recipe.path}: [router] has too few prompts of the task {name}: it needs {LEAST}; give "
                "the task more training examples"
            )


def off_topic(run: Run, key: str) -> list[str]:
    """The run's own copy of prompts that are none of the tasks'; none where the recipe names no such file."""
    return _prompts(run, key, run.folder / OFF_TOPIC[key]) if key in _stated(run) else []


def _stated(run: Run) -> dict[str, Path]:
    named = {key: getattr(run.recipe.router, key) for key in OFF_TOPIC}
    return {key: run.recipe.resolve(path) for key, path in named.items() if path}


def _prompts(run: Run, key: str, path: Path) -> list[str]:
    from tinsmith.train.adapters.router import LEAST

    prompts = [line.strip() for line in reading.read_text(path, DataError).splitlines() if line.strip()]
    least = 1 if key == "test" else LEAST
    if len(prompts) < least:
        raise DataError(
            f"{run.recipe.path}: [router] {key}: {path} has {len(prompts)} of the {least} prompts that are "
            "needed; give more, one a line"
        )
    return prompts
