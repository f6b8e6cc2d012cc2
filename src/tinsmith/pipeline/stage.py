"""A stage's reporter, and the form of its results: dataclasses of JSON values and of dataclasses."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

from tinsmith.system.progress import Bar, Display

Facts = TypeVar("Facts")


@dataclass(frozen=True)
class Made(Generic[Facts]):
    """outputs: files that a stage made or chose, whose change makes it stale; facts: a dataclass for later
    stages, of JSON values or dataclasses of these."""

    outputs: list[Path]
    facts: Facts


@dataclass(frozen=True)
class Nothing:
    """The facts of a stage that leaves only files."""


class Reporter:
    """Shows a stage's progress. display: as the packages below take it."""

    def __init__(self, display: Display) -> None:
        self.display = display
        self._bars: list[Bar] = []

    def note(self, text: str) -> None:
        """A line that stays."""
        self.display.line(text)

    @contextmanager
    def step(self, label: str, total: float) -> Iterator[None]:
        """A part of the work, of so many units. Steps nest."""
        with self.display.bar(label, total) as bar:
            self._bars.append(bar)
            try:
                yield
            finally:
                self._bars.pop()

    def progress(self, done: float, note: str = "", total: float | None = None) -> None:
        """How far the innermost step is; see Bar.update."""
        self._bars[-1].update(done, note, total)


def digest_of(value: Any) -> str:
    """SHA-256 of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def from_json(kind: Any, value: Any) -> Any:
    """A JSON value as `kind`. A key that a dataclass lacks is left out, one that is missing takes its default.

    Raises ValueError for a value of another kind."""
    if kind is Any or isinstance(kind, TypeVar):
        return value
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _one_of(arguments, value)
    if origin is list and isinstance(value, list):
        return [from_json(arguments[0], each) for each in value]
    if origin is dict and isinstance(value, dict):
        return {key: from_json(arguments[1], each) for key, each in value.items()}
    if origin is None and _is(kind, value):
        return value
    raise ValueError(f"got {value!r:.50}, wanted {kind}")


def _is(kind: type, value: Any) -> bool:
    """JSON writes a float without a fraction as Python does, but other programs may not; true is no number."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _dataclass(kind: Any, value: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"got {value!r:.50}, wanted an object")
    hints = get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind) if field.name in value]
    try:
        return kind(**{name: from_json(hints[name], value[name]) for name in names})
    except TypeError as error:
        raise ValueError(str(error)) from None


def _one_of(kinds: tuple[Any, ...], value: Any) -> Any:
    for kind in kinds:
        try:
            return from_json(kind, value)
        except ValueError:
            continue
    raise ValueError(f"got {value!r:.50}, wanted one of {kinds}")
