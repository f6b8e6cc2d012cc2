"""The data stage: the base, and the examples as the run uses them; of several tasks, those of their runs."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import tinsmith
from tinsmith import tasks
from tinsmith.data.readers import Example
from tinsmith.data.splits import SPLITS, shared_inputs
from tinsmith.errors import DataError, InputError
from tinsmith.formats.model_files import model_files
from tinsmith.pipeline import checking, constraint, prepared, routing, update
from tinsmith.pipeline.base import find_base, new_base
from tinsmith.pipeline.examples import DIVISION, beside, columns_of, read_examples, write_examples
from tinsmith.pipeline.measuring import test_items
from tinsmith.pipeline.prepared import (
    ANSWER,
    AUGMENTED,
    COPIES,
    DRAFT,
    LICENSES,
    Data,
    New,
    Prepared,
    read_preferences,
    split_name,
)
from tinsmith.pipeline.recipe.values import Recipe
from tinsmith.pipeline.stage import Made, Reporter
from tinsmith.pipeline.stages.data import augmentation, division, drafts, joining
from tinsmith.pipeline.stages.data.digests import Inputs, TasksInputs
from tinsmith.prepare.allowed import Checker
from tinsmith.system import files, reading

Splits = Mapping[str, Sequence[Example]]
Wanted = Mapping[Path, Sequence[Example]]  # by file, outputs that it teaches beside the splits


def make(inputs: Inputs, folder: Path, reporter: Reporter) -> Made[Data]:
    """Gets the base, makes missing data, and writes the run's own copies of the examples."""
    recipe = inputs.recipe
    fill_in(recipe, reporter)
    checking.refuse([recipe])
    found = find_base(recipe, folder, reporter) if recipe.base else None
    read = division.read(recipe, folder, reporter)
    given, wanted = {"train": [], **read.examples}, wanted_outputs(recipe)
    if recipe.data.limit:
        given["train"] = given["train"][: recipe.data.limit]
    splits, new = with_new(recipe, given, wanted, reporter)
    outputs = keep(recipe, {split: splits[split] for split in read.paths}, folder)
    if read.divided is not None:
        outputs.append(folder / DIVISION)
    base = found or new_base(recipe, splits["train"], folder, reporter)
    leaked = len(shared_inputs(splits["train"], splits["test"]))
    if leaked:
        reporter.note(f"data: warning: {leaked} test inputs are training inputs too")
    sealed, forbidden = constrain(recipe, Path(base.path), read.paths, given, splits, wanted, reporter)
    if sealed is not None:
        outputs.append(write(folder / ANSWER, sealed.data))
    table = drafts.of_recipe(recipe, splits["train"], prepared.load_base(recipe, base.path))
    if table is not None:
        outputs.append(write(folder / DRAFT, table))
    further = augmentation.augmented(recipe, splits, Path(base.path), reporter)
    if further is not None:
        outputs.append(folder / AUGMENTED)
        write_examples(outputs[-1], further[0])
        outputs += augmentation.show_images(further[0], splits["train"], folder, reporter)
    facts = Data(
        base=base,
        constraint=sealed.facts if sealed is not None else None,
        test_outputs_forbidden=forbidden,
        counts={split: len(rows) for split, rows in splits.items()},
        test_inputs_in_train=leaked,
        augmentation=further[1] if further is not None else None,
        new=new,
        divided=read.divided,
    )
    return Made([*model_files(Path(base.path)), *outputs], facts)


def fill_in(recipe: Recipe, reporter: Reporter) -> None:
    """Runs the recipe's command where a file that the recipe names is missing."""
    if recipe.data.command and checking.lacks_files(recipe):
        checking.base_here(recipe)  # raises before a command that may take minutes
        run_command(recipe, recipe.data.command, reporter)


def run_command(recipe: Recipe, command: Sequence[str], reporter: Reporter) -> None:
    words = [sys.executable if word == "python" else word for word in command]
    reporter.note(f"data: {' '.join(command)}")
    try:
        # Its output is for the reader, not a result: stdout is kept for the table and the report's path.
        ended = subprocess.run(words, cwd=recipe.path.parent, stdout=sys.stderr, check=False)
    except (OSError, ValueError) as error:  # ValueError: a NUL in a word
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{recipe.path}: [data] command: {words[0]}: {reason}") from None
    if ended.returncode != 0:
        raise InputError(
            f"{recipe.path}: [data] command ended with exit code {ended.returncode}: {' '.join(command)}"
        )


def with_new(
    recipe: Recipe, given: dict[str, list[Example]], wanted: dict[Path, list[Example]], reporter: Reporter
) -> tuple[dict[str, list[Example]], New | None]:
    """The splits with the new examples of [update], which also join `wanted`."""
    added = update.sources(recipe)
    task = recipe.data.task
    more = {key: read_examples(path, task, columns_of(recipe, path)) for key, path in added.items()}
    if not more:
        return given, None
    splits, new = joining.joined(recipe, given, more)
    reporter.note(joining.said(new))
    wanted |= {path: more[key] for key, path in added.items() if key != "test"}
    return splits, new


def wanted_outputs(recipe: Recipe) -> dict[Path, list[Example]]:
    """By file, the outputs that preferences teach, as examples of them. Raises DataError for a file without
    preferences, and for an output that the task does not have."""
    kind = tasks.by_name(recipe.data.task)
    outputs: dict[Path, list[Example]] = {}
    for key, path in beside(recipe).items():
        outputs[path] = []
        for row in read_preferences(recipe, path) if key == "preferences" else ():
            if row.wanted is None:
                continue
            if not kind.is_valid(kind.parse(row.wanted), kind.labels([row.wanted])):
                raise DataError(f"{row.where}: not a valid output of the task {kind.name}: {row.wanted}")
            outputs[path].append(Example(row.input, row.wanted))
    return outputs


def keep(recipe: Recipe, splits: Splits, folder: Path) -> list[Path]:
    """Writes the run's own copies. Raises DataError for an empty text."""
    outputs = []
    for split, rows in splits.items():
        outputs.append(folder / split_name(split))
        write_examples(outputs[-1], rows)
    if recipe.data.licenses:
        outputs.append(folder / LICENSES)
        files.write_text(outputs[-1], reading.read_text(recipe.resolve(recipe.data.licenses), DataError))
    for key, path in beside(recipe).items():
        text = reading.read_text(path, DataError)
        if not text.strip():
            raise DataError(f"{path}: holds no text; write some, or leave [data] {key} out")
        outputs.append(folder / COPIES[key])
        files.write_text(outputs[-1], text)
    return outputs


def write(path: Path, data: bytes) -> Path:
    with files.atomic_write(path) as file:
        file.write(data)
    return path


def constrain(
    recipe: Recipe,
    base: Path,
    paths: Mapping[str, Path],
    given: Splits,
    splits: Splits,
    wanted: Wanted,
    reporter: Reporter,
) -> tuple[constraint.Sealed | None, int]:
    """The constraint, and how many test outputs violate it. given: the splits before new examples.

    Raises DataError for a violation in training or validation data or in preferences: the model would learn an
    answer that it can never give."""
    sealed = constraint.of_recipe(recipe, splits["train"])
    if sealed is None:
        sealed = follow_task(recipe, given, wanted, base, reporter)
    if sealed is None:
        return None, 0
    checker = Checker(tinsmith.load(base), sealed.data)
    taught = [(path, given[split]) for split, path in paths.items() if split != "test"]
    for path, examples in (*taught, *wanted.items()):
        constraint.check_outputs(checker, path, examples)
    forbidden = sum(checker.departure(example.output) is not None for example in splits["test"])
    if forbidden:
        reporter.note(f"data: warning: the constraint forbids {forbidden} test outputs")
    for line in constraint.unshown(recipe, splits["train"]):
        reporter.note(f"data: {line}; a small model learns what it is shown")
    return sealed, forbidden


def follow_task(
    recipe: Recipe, splits: Splits, wanted: Wanted, base: Path, reporter: Reporter
) -> constraint.Sealed | None:
    """The constraint that follows from the task, if it allows all taught outputs; else a note says why not."""
    taught = [rows for split, rows in splits.items() if split != "test"]
    outputs = dict.fromkeys(row.output for rows in (*taught, *wanted.values()) for row in rows)
    found = constraint.of_task(recipe, splits["train"], list(outputs), base)
    if isinstance(found, str):
        reporter.note(f"data: no constraint: {found}; [constraint] says what answers may be")
        return None
    return found


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
