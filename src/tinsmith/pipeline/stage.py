"""What the engine gives to a stage and takes from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

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
