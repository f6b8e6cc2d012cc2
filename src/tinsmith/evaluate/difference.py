"""The answers that differ between two models, and the grades of the changes.

The runtime gives the same bits everywhere, so answers are compared without a tolerance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith.data import readers
from tinsmith.errors import DataError
from tinsmith.evaluate import page
from tinsmith.evaluate.metrics import METRICS
from tinsmith.system import reading
from tinsmith.tasks import Grade, Task

if TYPE_CHECKING:
    from tinsmith.runtime import Model

_FORM = 'each line is one object such as {"input": "…"} or {"input": "…", "output": "…"}'


@dataclass(frozen=True)
class Case:
    """line: of its file; output: the right one, None if unknown; accept: equivalent ones."""

    line: int
    input: str
    output: str | None
    accept: tuple[str, ...] = ()


@dataclass(frozen=True)
class Change:
    """Two answers that differ. right: whether each is exact, None if unknown."""

    line: int
    input: str
    wanted: str | None
    answers: tuple[str, str]
    right: tuple[bool, bool] | None


@dataclass(frozen=True)
class Difference:
    """metrics: of each model, fractions by name; empty unless every case has an output."""

    items: int
    changes: list[Change]
    metrics: tuple[dict[str, float], dict[str, float]]

    @property
    def share(self) -> float:
        return len(self.changes) / self.items

    def count(self, before: bool, after: bool) -> int:
        """The changes whose answers are right, or not, before and after."""
        return sum(change.right == (before, after) for change in self.changes)

    def as_json(self) -> dict[str, Any]:
        return {
            "items": self.items,
            "changed": len(self.changes),
            "share": self.share,
            "gained": self.count(False, True),
            "lost": self.count(True, False),
            "metrics": list(self.metrics),
            "changes": [asdict(change) for change in self.changes],
        }


def read_cases(path: str | Path) -> list[Case]:
    """Reads JSON lines as in a recipe's data; `output` may be missing. Raises DataError."""
    cases = []
    for where, row in readers.objects(Path(path), _FORM):
        given = readers.text_of(row, "input", where, _FORM)
        output = readers.text_of(row, "output", where) if "output" in row else None
        accept = row.get("accept", [])
        if not isinstance(accept, list) or not all(isinstance(text, str) for text in accept):
            raise DataError(f'{where}: "accept" must be a list of texts, got {reading.kind(accept)}')
        assert where.number  # a line has one
        cases.append(Case(where.number, given, output, tuple(accept)))
    if not cases:
        raise DataError(f"{path}: holds no line; {_FORM}")
    return cases


def answers(model: Model, cases: Sequence[Case], task: Task, system: str, **options: Any) -> list[str]:
    """The model's answer to each case. options: as Model.generate_many takes them."""
    asked = [task.messages(readers.Example(case.input, ""), system) for case in cases]
    adapter = options.get("adapter")
    prompts = [model.render(messages, adapter=adapter) for messages in asked]
    return [answer.text for answer in model.generate_many(prompts, **options)]


def compare(cases: Sequence[Case], first: Sequence[str], second: Sequence[str], task: Task) -> Difference:
    known = task.labels(case.output for case in cases if case.output is not None)
    grades = [
        [_grade(task, case, text, known) for case, text in zip(cases, side, strict=True)]
        for side in (first, second)
    ]
    changes = [
        Change(case.line, case.input, case.output, (before, after), _right(old, new))
        for case, before, after, old, new in zip(cases, first, second, *grades, strict=True)
        if before != after
    ]
    return Difference(len(cases), changes, (_fractions(grades[0]), _fractions(grades[1])))


def _grade(task: Task, case: Case, answer: str, known: frozenset[str]) -> Grade | None:
    return None if case.output is None else task.grade(answer, case.output, case.accept, known)


def _right(old: Grade | None, new: Grade | None) -> tuple[bool, bool] | None:
    return (old.exact, new.exact) if old and new else None


def _fractions(grades: Sequence[Grade | None]) -> dict[str, float]:
    found: dict[str, float] = {}
    for metric in METRICS:
        values = [getattr(grade, metric) for grade in grades if grade is not None]
        if len(values) == len(grades) and None not in values:
            found[metric] = sum(values) / len(values)
    return found


def summary(difference: Difference) -> list[str]:
    """The counts and metrics, a line each."""
    changed = len(difference.changes)
    told = [f"{changed} of {difference.items} answers changed ({100 * difference.share:.2f} %)"]
    if any(change.right for change in difference.changes):
        gained, lost = difference.count(False, True), difference.count(True, False)
        told.append(f"{gained} are right now and were not, {lost} were right and are not")
    before, after = difference.metrics
    return told + [f"{name}: {100 * before[name]:.2f} % to {100 * after[name]:.2f} %" for name in before]


def lines(difference: Difference, show: Callable[[str], str]) -> list[str]:
    """The summary and every change, for a terminal. show: escapes a text."""
    told = summary(difference)
    for change in difference.changes:
        told += ["", f"line {change.line}: {show(change.input)}"]
        told += [f"  {mark} {show(text)}" for mark, text in zip("-+", change.answers, strict=True)]
        told += [f"  = {show(change.wanted)}"] if change.wanted is not None else []
    return told


def html(difference: Difference, names: tuple[str, str]) -> str:
    """The summary and every change, as a page. names: of the two models."""
    return page.draw(
        "diff", "Changed answers", summary=summary(difference), names=names, changes=difference.changes
    )
