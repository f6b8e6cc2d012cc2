"""The data stage of several tasks: the base, and the run's own copies of what the tasks' runs have."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from tinsmith.data.readers import Example
from tinsmith.data.splits import SPLITS, shared_inputs
from tinsmith.errors import DataError
from tinsmith.formats.model_files import model_files
from tinsmith.pipeline import routing
from tinsmith.pipeline.base import find_base
from tinsmith.pipeline.examples import write_examples
from tinsmith.pipeline.measuring import test_items
from tinsmith.pipeline.prepared import LICENSES, Data, Prepared, split_name
from tinsmith.pipeline.stage import Made, Reporter
from tinsmith.pipeline.stages.data.digests import TasksInputs
from tinsmith.system import files, reading


def make_of_tasks(inputs: TasksInputs, folder: Path, reporter: Reporter) -> Made[Data]:
    recipe = inputs.recipe
    base = find_base(recipe, folder, reporter)
    splits = {split: joined(inputs.tasks, split) for split in SPLITS}
    outputs = [folder / split_name(split) for split in SPLITS]
    for split, path in zip(SPLITS, outputs, strict=True):
        write_examples(path, splits[split])
    for key, path in routing.stated(recipe).items():
        outputs.append(folder / routing.COPIES[key])
        files.write_text(outputs[-1], "".join(f"{line}\n" for line in routing.prompts(recipe, key, path)))
    if recipe.data.licenses:
        outputs.append(folder / LICENSES)
        files.write_text(outputs[-1], licenses(inputs.tasks))
    facts = Data(
        base=base,
        constraint=None,
        test_outputs_forbidden=inputs.forbidden,
        counts={split: len(rows) for split, rows in splits.items()},
        test_inputs_in_train=len(shared_inputs(splits["train"], splits["test"])),
    )
    return Made([*model_files(Path(base.path)), *outputs], facts)


def joined(tasks: Mapping[str, Prepared], split: str) -> list[Example]:
    """A split of all tasks; of the test set, the evaluated items."""
    return [
        dataclasses.replace(example, part=name)
        for name, one in tasks.items()
        for example in (test_items(one) if split == "test" else one.examples(split))
    ]


def licenses(tasks: Mapping[str, Prepared]) -> str:
    texts = {name: one.files[LICENSES] for name, one in tasks.items() if one.recipe.data.licenses}
    return "\n".join(f"{name}\n\n{reading.read_text(path, DataError)}" for name, path in texts.items())
