"""A constraint on its way into a tin: from the recipe or the command line, checked against the examples."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tinsmith
from tinsmith import tasks
from tinsmith.constraint import Constraint, coverage, makers
from tinsmith.data.readers import Example
from tinsmith.data.row_tools import has_rows, tools_of_rows
from tinsmith.errors import ConstraintError, DataError, InputError
from tinsmith.formats.tin import CONSTRAINT
from tinsmith.pipeline.recipe.tables import LABELS, SOURCES
from tinsmith.pipeline.recipe.tables import Constraint as Table
from tinsmith.pipeline.recipe.values import Recipe
from tinsmith.prepare.allowed import Checker
from tinsmith.prepare.check.unshown import of_labels, of_schema, of_tools
from tinsmith.system import files, reading
from tinsmith.tasks import Task

CALLS = "json"  # how a call is written: as the task "call" learns it


@dataclass(frozen=True)
class Sealed:
    """data: constraint.bin. facts: what the manifest says of it."""

    data: bytes
    facts: dict[str, Any]

    @property
    def entries(self) -> dict[str, bytes]:
        return {CONSTRAINT: self.data}


def of_recipe(recipe: Recipe, train: Sequence[Example]) -> Sealed | None:
    """What the recipe's [constraint] says, compiled; None where it says nothing."""
    source = recipe.constraint.source
    if source is None:
        return None
    try:
        return seal(recipe.constraint, recipe.path.parent, tasks.by_name(recipe.data.task), *_taught(train))
    except InputError as error:
        raise type(error)(f"{recipe.path}: [constraint] {source}: {error}") from None


def following(recipe: Recipe) -> list[Table]:
    """What follows from the task where the recipe's [constraint] says nothing: its labels, the tools or the
    schema of [data]. JSON is constrained to the first spacing that the examples have."""
    task, data = tasks.by_name(recipe.data.task), recipe.data
    if recipe.constraint.source or recipe.constraint.unconstrained or data.thinking or data.train is None:
        return []
    search: dict[str, Any] = {"max_backtracks": recipe.constraint.max_backtracks}
    if task.source == "choices":
        return [Table(choices=LABELS, **search)]
    if task.source not in ("tools", "schema") or not getattr(data, task.source):
        return []
    search[task.source] = getattr(data, task.source)
    return [Table(**search, spacing="compact"), Table(**search, spacing="spaced")]


def of_task(
    recipe: Recipe, train: Sequence[Example], outputs: Sequence[str], base: Path
) -> Sealed | str | None:
    """The first of `following` that allows all of these outputs; where none does, the reason, which is said;
    None where none follows."""
    said = None
    for table in following(recipe):
        task = tasks.by_name(recipe.data.task)
        try:
            sealed = seal(table, recipe.path.parent, task, *_taught(train))
        except (ConstraintError, DataError) as error:
            return str(error)
        except InputError as error:  # a file that is not there, or can't be read
            raise InputError(f"{recipe.path}: [data] {table.source}: {error}") from None
        checker = Checker(tinsmith.load(base), sealed.data)
        departures = (checker.departure(output) for output in outputs)
        departure = next((one for one in departures if one is not None), None)
        if departure is None:
            return sealed
        said = said or f"{table.source} would forbid an output {departure}"
    return said


def unshown(recipe: Recipe, train: Sequence[Example]) -> Iterator[str]:
    """Of what may be answered, what no training example shows, in words."""
    table = next(iter(following(recipe)), recipe.constraint)
    task, outputs = tasks.by_name(recipe.data.task), [example.output for example in train]
    if table.source in ("tools", "schema") and train:
        _, value = read(table.source, recipe.resolve(getattr(table, table.source)))
        of_file = of_tools if table.source == "tools" else of_schema
        yield from of_file(value, map(task.parse, outputs))
    elif isinstance(table.choices, tuple) and train:
        yield from of_labels(table.choices, task.labels(outputs))


def source_digest(recipe: Recipe) -> str | None:
    """SHA-256 of the file that [constraint] names; None where it names none, or it is not there."""
    path = source_file(recipe)
    return files.sha256_file(path) if path is not None and path.exists() else None


def read_schema(recipe: Recipe) -> Any:
    """The JSON schema of the answers, as a value; None where the recipe has none."""
    stated = recipe.data.schema or recipe.constraint.schema
    return reading.read_json(recipe.resolve(stated), ConstraintError, unique=True) if stated else None


def source_file(recipe: Recipe) -> Path | None:
    table = next(iter(following(recipe)), recipe.constraint)
    if table.source not in ("schema", "tools", "grammar"):
        return None
    return recipe.resolve(getattr(table, table.source))


def _taught(train: Sequence[Example]) -> tuple[list[str], list[str]]:
    return [example.output for example in train], [example.input for example in train]


def seal(
    table: Table,
    folder: Path,
    task: Task | None = None,
    outputs: Sequence[str] = (),
    inputs: Sequence[str] = (),
) -> Sealed:
    """Compiles what a table says. folder: that its paths are relative to; task, outputs: whose labels "labels"
    are, and whose answers have several calls where one of these has; inputs: that they answer, whose words are
    known where a search weighs the new ones.

    Raises InputError for a file that can't be read, ConstraintError for what can't be compiled."""
    source = table.source
    assert source is not None, f"one of {', '.join(SOURCES)} is given"
    value = getattr(table, source)
    facts: dict[str, Any] = {"source": source}
    if source in ("schema", "tools", "grammar"):
        path = folder / files.stated(value)
        raw, content = read(source, path)
        facts |= {"file": path.name, "sha256": hashlib.sha256(raw).hexdigest()}
        several = task is not None and task.has_several(outputs)
        compiled = _compile_file(table, source, path, content, several)
    elif source == "regex":
        compiled = makers.regex(value)
    else:
        compiled = _compile_choices(value, task, outputs)
    compiled = _searching(table, compiled, inputs, outputs)
    facts |= {key: value for key, value in asdict(compiled).items() if key != "data"}
    facts |= {"search": compiled.search, "coverage": compiled.coverage, "copies": compiled.copies}
    if source in ("schema", "tools"):
        facts["spacing"] = table.spacing
    if source == "tools":
        facts["format"] = CALLS
    return Sealed(compiled.data, facts)


def _searching(table: Table, compiled: Constraint, inputs: Sequence[str], outputs: Sequence[str]) -> Constraint:
    compiled = compiled.with_search(table.max_backtracks)
    if not table.max_backtracks or not inputs:
        return compiled
    return compiled.with_coverage(*coverage.learned(inputs, outputs))


def _compile_choices(value: Any, task: Task | None, outputs: Sequence[str]) -> Constraint:
    if value != LABELS or task is None:
        return makers.choices([] if value == LABELS else value)
    several = task.list_schema(outputs)
    return makers.schema(several) if several else makers.choices(sorted(task.labels(outputs)))


def _compile_file(table: Table, source: str, path: Path, value: Any, several: bool) -> Constraint:
    try:
        if source == "grammar":
            return makers.grammar(value, makers.grammar_kind(path))
        if source == "tools":
            return makers.tools(value, CALLS, parallel=several, alone=several, spacing=table.spacing)
        from tinsmith.constraint.json_schema import compile_schema

        return compile_schema(value, spacing=table.spacing)
    except ConstraintError as error:
        raise ConstraintError(f"{path}: {error}") from None


def read(source: str, path: Path) -> tuple[bytes, Any]:
    """A file's bytes, and a grammar's text or the JSON value of a schema or tools; rows may have tools too."""
    raw = reading.read_bytes(path)
    if source == "tools" and has_rows(path):
        return raw, tools_of_rows(path)
    text = reading.text(raw, path, ConstraintError)
    return raw, text if source == "grammar" else reading.json(text, path, ConstraintError, unique=True)


def check_outputs(checker: Checker, path: Path, examples: Sequence[Example]) -> None:
    """Raises DataError at the first example whose output the constraint forbids."""
    for n, example in enumerate(examples, 1):
        if departure := checker.departure(example.output):
            where = example.where or f"{path}: example {n}"
            raise DataError(
                f"{where}: the recipe's [constraint] forbids its output {departure}; mend the example or the "
                "constraint; spacing and the order of keys are mended by tinsmith data check --fix"
            )
