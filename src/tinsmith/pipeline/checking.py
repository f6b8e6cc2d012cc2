"""The data, rules and base of a data check, from a recipe or the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tinsmith import hub, models, tasks
from tinsmith.data.shapes import Named
from tinsmith.data.splits import LEARNED
from tinsmith.errors import DataError, OfflineError
from tinsmith.pipeline import constraint, prepared
from tinsmith.pipeline.base import base_template
from tinsmith.pipeline.examples import columns, split_paths
from tinsmith.pipeline.recipe.tables import Constraint as Table
from tinsmith.pipeline.recipe.values import Recipe
from tinsmith.prepare.check.rows import Base, Data, Fault, Files, Row, likely_task, read
from tinsmith.prepare.check.rules import Rules
from tinsmith.system import files
from tinsmith.tasks import Task


def of_files(
    files: Files, task: str | None, table: Table, labels: Sequence[str] | None, base: str | None, length: int
) -> Data:
    """table: what an answer may be, its paths from the working folder; base: a model's path or name."""
    rows, faults = _read(files, tasks.by_name(task) if task else None)
    kind = tasks.by_name(task) if task else _task(table, labels, rows)
    if labels and table.source is None:
        table = Table(choices=tuple(labels))
    rules = _rules(table, Path(), rows, kind, labels)
    model = Base.read(hub.pull(base)) if base else None
    return Data(rows, faults, kind, rules, model, length)


def of_recipe(recipe: Recipe, files: Files = ()) -> Data:
    """files: in place of the recipe's own splits."""
    kind = tasks.by_name(recipe.data.task)
    rows, faults = _read(files or list(split_paths(recipe).items()), kind, columns(recipe))
    rules = _rules(recipe.constraint, recipe.path.parent, rows, kind, None)
    return Data(rows, faults, kind, rules, _base(recipe), recipe.train.max_length)


def _read(files: Files, task: Task | None, named: Named | None = None) -> tuple[list[Row], list[Fault]]:
    rows, faults = read(files, task, named)
    if not rows and not faults:
        raise DataError(f"{files[0][1]}: holds no example")
    return rows, faults


def _task(table: Table, labels: Sequence[str] | None, rows: Sequence[Row]) -> Task:
    source = "choices" if labels else table.source
    return next((one for one in tasks.tasks() if source and one.source == source), None) or likely_task(rows)


def _rules(
    table: Table, folder: Path, rows: Sequence[Row], task: Task, labels: Sequence[str] | None
) -> Rules | None:
    if table.source is None:
        return None
    outputs = labels or [row.example.output for row in rows if row.split == LEARNED]
    sealed = constraint.seal(table, folder, task, outputs)
    document = None
    if table.source in ("schema", "tools"):
        path = folder / files.stated(getattr(table, table.source))
        _, document = constraint.read(table.source, path)
    return Rules(
        sealed.data,
        schema=document if table.source == "schema" else None,
        tools=document if table.source == "tools" else None,
        spacing=table.spacing,
        labels=labels,
    )


def _base(recipe: Recipe) -> Base | None:
    """None for a model from scratch, which has no tokens yet, and for one that needs a network."""
    if recipe.base is None:
        return None
    try:
        path = hub.pull(recipe.base_source)
    except OfflineError:
        return None
    settled = prepared.settled(recipe, base_template(recipe, models.load(path)))
    return Base.read(path, recipe.data.system, settled)
