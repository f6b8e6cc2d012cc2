"""Rewards of answers by verifiable rules: exact match, validity, fields, a user's function, or a weighted mean
of these."""

from __future__ import annotations

import math
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from numbers import Real
from pathlib import Path
from types import ModuleType
from typing import Any

from tinsmith import tasks
from tinsmith.data.leaves import ITEM
from tinsmith.data.readers import Example
from tinsmith.errors import InputError, UnsupportedError
from tinsmith.system import reading

EXACT, VALID, FIELDS = NAMES = "exact", "valid", "fields"
# Whether an answer's text keeps a constraint besides its task's rules.
Allows = Callable[[str], bool]
_Rule = Callable[[str, "Example"], float]


def of_function(name: str) -> tuple[str, str] | None:
    """The file and the function of a name such as "rewards.py:score"; None for other names."""
    file, colon, function = name.rpartition(":")
    return (file, function) if colon and file and function.isidentifier() else None


class Reward:
    """weights: by name, one of NAMES or a function's file and name; task: a task's name; labels: those of the
    training examples; allows: with a constraint, whether a text satisfies it.

    Rewards of the rules named above are from 0 to 1, and the weights are shares of the whole. Raises
    UnsupportedError for an unknown name, InputError for a file that can't be run.
    """

    def __init__(
        self, weights: Mapping[str, float], task: str, labels: frozenset[str], allows: Allows | None = None
    ) -> None:
        self.task, self.labels, self.allows = tasks.by_name(task), labels, allows
        total = sum(weights.values())
        self.rules = [(self._rule(name), weight / total) for name, weight in weights.items()]

    def __call__(self, answer: str, example: Example) -> float:
        return sum(share * rule(answer, example) for rule, share in self.rules)

    def _rule(self, name: str) -> _Rule:
        known: dict[str, _Rule] = {EXACT: self.exact, VALID: self.valid, FIELDS: self.fields}
        if name in known:
            return known[name]
        place = of_function(name)
        if place is None:
            raise UnsupportedError(
                f'reward "{name}" does not exist; give {", ".join(NAMES)}, or a function as "rewards.py:score"'
            )
        return _function(Path(place[0]), place[1])

    def exact(self, answer: str, example: Example) -> float:
        """As an evaluation counts it."""
        return float(self.task.grade(answer, example.output, example.accept, self.labels).exact)

    def valid(self, answer: str, example: Example) -> float:
        is_valid = self.task.is_valid(self.task.parse(answer), self.labels)
        return float(is_valid and (self.allows is None or self.allows(answer)))

    def fields(self, answer: str, example: Example) -> float:
        """Dice's coefficient of the values in the answer and in the right one, each at its place: twice the
        common ones over both counts. The best over all right answers."""
        value = self.task.parse(answer)
        wanted = (self.task.parse(one) for one in (example.output, *example.accept))
        return 0.0 if value is None else max(_alike(value, one) for one in wanted)


def _alike(value: Any, wanted: Any) -> float:
    given, right = _fields(value), _fields(wanted)
    total = given.total() + right.total()
    return 2 * (given & right).total() / total if total else float(value == wanted)


def _fields(value: Any, path: tuple[str, ...] = ()) -> Counter[Any]:
    """A JSON value's scalars with their paths of keys; a list's items in any order."""
    if isinstance(value, dict):
        return sum((_fields(one, (*path, key)) for key, one in value.items()), Counter())
    if isinstance(value, list):
        return sum((_fields(one, (*path, ITEM)) for one in value), Counter())
    # As JSON distinguishes them: true is not 1, and 1 is 1.0.
    return Counter({(path, isinstance(value, bool), value): 1})


def _function(path: Path, name: str) -> _Rule:
    """The user's function: `name(answer, example)`, with the answer's text and the example as a dict."""
    source = reading.read_text(path, InputError)
    module = ModuleType(f"tinsmith.rewards.{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where dataclasses look up the names in annotations
    try:
        exec(compile(source, str(path), "exec", dont_inherit=True), vars(module))
    except (Exception, SystemExit) as error:
        raise _fault(path, error, "can't be run") from error
    score = getattr(module, name, None)
    if not callable(score):
        raise InputError(f"{path}: has no function {name}; define {name}(answer, example)")

    def rule(answer: str, example: Example) -> float:
        try:
            worth = score(answer, asdict(example))
        except (Exception, SystemExit) as error:
            raise _fault(path, error, f"{name} failed on the answer {answer!r}") from error
        if not isinstance(worth, Real) or not math.isfinite(worth):
            line = score.__code__.co_firstlineno if hasattr(score, "__code__") else 1
            raise InputError(f"{path}:{line}: {name} gave {worth!r} for {answer!r}; return a finite number")
        return float(worth)

    return rule


def _fault(path: Path, error: Exception | SystemExit, what: str) -> InputError:
    """One line, with the line of the file that failed."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    line = error.lineno if isinstance(error, SyntaxError) and error.lineno else (lines or [1])[-1]
    text = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
    return InputError(f"{path}:{line}: {what}: {type(error).__name__}: {text}")
