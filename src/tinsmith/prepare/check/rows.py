"""The rows that are checked, and what is known of them: splits, task, constraint, the base's tokens."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith import tasks
from tinsmith.data.shapes import Named, open_examples
from tinsmith.errors import DataError
from tinsmith.prepare.check._texts import fold

if TYPE_CHECKING:
    from tinsmith.data.readers import Example
    from tinsmith.prepare.check.base import Base
    from tinsmith.prepare.check.rules import Rules
    from tinsmith.tasks import Task

Files = Sequence[tuple[str, Path]]  # with their splits


@dataclass(frozen=True)
class Row:
    """path: the file or folder that it was read from; where: its place in it."""

    split: str
    path: Path
    example: Example

    @property
    def where(self) -> str:
        return str(self.example.where or self.path)


@dataclass(frozen=True)
class Fault:
    """A row that is no example. empty: of one without an input or an output."""

    split: str
    path: Path
    where: str
    message: str
    empty: bool = False


@dataclass
class Data:
    """rules: what an answer may be; base: the model that is to be trained; length: the most tokens of a row."""

    rows: list[Row]
    faults: list[Fault]
    task: Task
    rules: Rules | None = None
    base: Base | None = None
    length: int = 512
    _made: dict[str, Any] = field(default_factory=dict)

    @property
    def places(self) -> Sequence[Row | Fault]:
        return [*self.rows, *self.faults]

    @cached_property
    def values(self) -> list[Any]:
        """What the outputs say, as the task reads them; None for those that it can't."""
        return [self.task.parse(row.example.output) for row in self.rows]

    @cached_property
    def labels(self) -> list[str | None]:
        return [self.task.label(row.example.output) for row in self.rows]

    @cached_property
    def folded(self) -> list[str]:
        """The inputs without what does not make a difference."""
        return [fold(row.example.asked) for row in self.rows]

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """What several checks use, made once."""
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]


def read(files: Files, task: Task | None = None, named: Named | None = None) -> tuple[list[Row], list[Fault]]:
    """The rows of files with the splits that they are of, and what in them is no row. Raises DataError for a
    file that can't be read."""
    rows: list[Row] = []
    faults: list[Fault] = []
    for split, path in files:
        for example in open_examples(path, named=named, task=task, split=split).each():
            if isinstance(example, DataError):
                faults.append(_fault(split, path, str(example)))
            else:
                rows.append(Row(split, path, example))
    return rows, faults


def _fault(split: str, path: Path, error: str) -> Fault:
    """error: begins with the place."""
    place = re.match(rf"{re.escape(str(path))}[^:]*(?::\d+|: row \d+)?", error)
    where = place[0] if place else str(path)
    message = error.removeprefix(where).removeprefix(": ")
    return Fault(split, path, where, message, re.match(r'"\w+" is (?:empty|missing)', message) is not None)


def guess_task(rows: Sequence[Row]) -> Task:
    """What kind of answers these are, where nothing says so."""
    outputs = [row.example.output for row in rows]
    return max(tasks.tasks(), key=lambda task: task.likely(outputs))


def answer(data: Data, row: int) -> str:
    """An output in the one form that equal ones have."""
    value = data.values[row]
    return data.rows[row].example.output if value is None else json.dumps(value, sort_keys=True)
