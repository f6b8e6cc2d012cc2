"""The data, rules and base of a data check, from a recipe or the command line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tinsmith import hub, tasks
from tinsmith.data.shapes import Named
from tinsmith.data.splits import LEARNED
from tinsmith.errors import DataError, FaultsError, InputError, OfflineError
from tinsmith.pipeline import constraint, prepared, update
from tinsmith.pipeline.base import stated
from tinsmith.pipeline.examples import columns, columns_of, named_paths, split_paths
from tinsmith.pipeline.recipe.tables import Constraint as Table
from tinsmith.pipeline.recipe.values import Recipe
from tinsmith.prepare import check as prepare_check
from tinsmith.prepare.check import outputs, unreadable
from tinsmith.prepare.check.rows import Base, Data, Fault, Files, Row, likely_task, read
from tinsmith.prepare.check.rules import Rules
from tinsmith.system import files
from tinsmith.tasks import Task
from tinsmith.train import methods

MOST = 20  # faults that are listed
FILES = ("text", "preferences", "tools", "schema", "licenses", "augment_exclude")  # keys of [data]


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


def of_recipe(recipe: Recipe, files: Files = (), *, offline: bool | None = None) -> Data:
    """files: in place of the recipe's own; offline: as of hub.pull, for the base."""
    kind = tasks.by_name(recipe.data.task)
    refused: list[InputError] = []
    rows: list[Row] = []
    faults: list[Fault] = []
    given = [(split, path, columns(recipe)) for split, path in files]
    with _noted(refused):
        given = given or list(_own_files(recipe))
    for split, path, named in given:
        with _noted(refused):
            found = read([(split, path)], kind, named)
            rows += found[0]
            faults += found[1]
    rules = base = None
    if rows or recipe.constraint.source != "choices":  # which may be the labels of the rows
        with _noted(refused, f"{recipe.path}: [constraint] {recipe.constraint.source}: "):
            rules = _rules(recipe.constraint, recipe.path.parent, rows, kind, None)
    for key, path in _beside(recipe).items():
        if not path.exists():
            refused.append(InputError(f"{recipe.path}: [data] {key}: {path}: no such file; check the path"))
    with _noted(refused):
        base = base_here(recipe, offline)
    return Data(rows, faults, kind, rules, base, recipe.train.max_length, refused)


def refuse(recipes: Sequence[Recipe]) -> None:
    """Raises InputError for what would stop a run later, FaultsError for several faults. A base that is
    not on this disk is not checked. recipes: one, or those of a recipe's tasks."""
    found = dict(fault for one in recipes for fault in _faults(one))
    lines = list(found)
    if len(lines) == 1:
        raise found[lines[0]]
    if lines:
        more = [f"and {len(lines) - MOST:,} more; tinsmith data check lists them"] if len(lines) > MOST else []
        raise FaultsError(str(recipes[0].path), [*lines[:MOST], *more])


def _faults(recipe: Recipe) -> Iterator[tuple[str, InputError]]:
    """Each fault's line in a list, and the error for it alone."""
    data = of_recipe(recipe, offline=True)
    reads = methods.by_name(recipe.train.method).reads_examples
    yield from ((str(error), error) for error in data.refused)
    checks = (unreadable.Unreadable(), unreadable.Empty(), outputs.Invalid())
    learned = (outputs.Forbidden(), *([unreadable.TooLong()] if reads else []))
    for check in (*checks, *learned):
        for one in prepare_check.run(data, [check]).findings.get(check.name, ()):
            if one.row is None or data.rows[one.row].split != "test" or check in checks:
                line = f"{one.where}: {one.message}"
                yield line, DataError(f"{line}; {check.advice}")


def lacks_files(recipe: Recipe) -> bool:
    """Whether a file that the recipe names is missing."""
    named = [*named_paths(recipe).values(), *_beside(recipe).values(), constraint.source_file(recipe)]
    return any(path is not None and not path.exists() for path in named)


def _beside(recipe: Recipe) -> dict[str, Path]:
    return recipe.paths(recipe.data, FILES)


@contextmanager
def _noted(refused: list[InputError], place: str = "") -> Iterator[None]:
    try:
        yield
    except InputError as error:
        refused.append(type(error)(f"{place}{error}"))


def _own_files(recipe: Recipe) -> Iterator[tuple[str, Path, Named]]:
    """The recipe's files by split, those of [update] too, each with its columns."""
    for split, path in split_paths(recipe).items():
        yield split, path, columns(recipe)
    for key, path in update.sources(recipe).items():
        yield LEARNED if key == "data" else key, path, columns_of(recipe, path)


def _read(files: Files, task: Task | None) -> tuple[list[Row], list[Fault]]:
    rows, faults = read(files, task)
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


def base_here(recipe: Recipe, offline: bool | None = True) -> Base | None:
    """None for a model from scratch, which has no tokens yet, and for one that needs a network. Raises
    InputError for a base that the recipe can't have."""
    if recipe.base is None:
        return None
    try:
        path = hub.pull(recipe.base_source, offline=offline)
    except OfflineError:
        return None
    template = stated(recipe, path).chat_template
    return Base.read(path, recipe.data.system, prepared.settled(recipe, template or ""))
