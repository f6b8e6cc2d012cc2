"""The answers that differ between two models, and the grades of the changes.

The runtime gives the same bits everywhere, so answers are compared without a tolerance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith.data import readers
from tinsmith.data.readers import Example
from tinsmith.errors import DataError
from tinsmith.evaluate import page
from tinsmith.evaluate.metrics import METRICS
from tinsmith.system import reading
from tinsmith.tasks import Grade, Task

if TYPE_CHECKING:
    from tinsmith.runtime import Model

_FORM = 'each line is one object such as {"input": "…"} or {"input": "…", "output": "…"}'


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


def read_cases(path: str | Path) -> list[Example]:
    """Reads JSON lines as in a recipe's data; `output` may be missing, and is then empty. Raises DataError."""
    cases = []
    for where, row in readers.objects(Path(path), _FORM):
        given = readers.text_of(row, "input", where, _FORM)
        output = readers.text_of(row, "output", where) if "output" in row else ""
        accept = row.get("accept", [])
        if not isinstance(accept, list) or not all(isinstance(text, str) for text in accept):
            raise DataError(f'{where}: "accept" must be a list of texts, got {reading.kind(accept)}')
        cases.append(Example(given, output, tuple(accept), where=where))
    if not cases:
        raise DataError(f"{path}: holds no line; {_FORM}")
    return cases


def answers(model: Model, cases: Sequence[Example], task: Task, system: str, **options: Any) -> list[str]:
    """The model's answer to each case. options: as Model.generate_many takes them."""
    adapter = options.get("adapter")
    prompts = [model.render(task.messages(case, system), adapter=adapter) for case in cases]
    return [answer.text for answer in model.generate_many(prompts, **options)]


def compare(cases: Sequence[Example], first: Sequence[str], second: Sequence[str], task: Task) -> Difference:
    known = task.labels(case.output for case in cases if case.output)
    changes, grades = [], []
    for case, *pair in zip(cases, first, second, strict=True):
        old, new = (task.grade(text, case.output, case.accept, known) for text in pair)
        grades.append((old, new))
        if pair[0] != pair[1]:
            assert case.where and case.where.number  # a line has one
            right = (old.exact, new.exact) if case.output else None
            changes.append(
                Change(case.where.number, case.input, case.output or None, (pair[0], pair[1]), right)
            )
    known_all = all(case.output for case in cases)
    metrics = [_fractions(side) if known_all else {} for side in zip(*grades, strict=True)]
    return Difference(len(cases), changes, (metrics[0], metrics[1]))


def _fractions(grades: Sequence[Grade]) -> dict[str, float]:
    found: dict[str, float] = {}
    for metric in METRICS:
        values = [getattr(grade, metric) for grade in grades]
        if None not in values:
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
