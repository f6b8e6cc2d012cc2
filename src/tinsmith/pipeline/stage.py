"""What every stage works with: a reporter, and the form of its results."""

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
    """outputs: files a stage made or settled on, whose change makes it stale; facts: a dataclass of what the
    stages after it want to know, all of it JSON values or dataclasses of these."""

    outputs: list[Path]
    facts: Facts


@dataclass(frozen=True)
class Nothing:
    """The facts of a stage that leaves only files."""


class Reporter:
    """Tells a person what a stage does."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._bars: list[Bar] = []

    def note(self, text: str) -> None:
        """A line that stays."""
        self._display.line(text)

    @contextmanager
    def step(self, label: str, total: float) -> Iterator[None]:
        """A part of the work, of so many units. Steps nest."""
        with self._display.bar(label, total) as bar:
            self._bars.append(bar)
            try:
                yield
            finally:
                self._bars.pop()

    def progress(self, done: float, note: str = "", total: float | None = None) -> None:
        """How far the innermost step is; see Bar.update."""
        self._bars[-1].update(done, note, total)


class Shown:
    """A reporter as the packages below take it: a display, and its bar."""

    def __init__(self, reporter: Reporter) -> None:
        self.line, self.update = reporter.note, reporter.progress
        self._step = reporter.step

    @contextmanager
    def bar(self, label: str, total: float) -> Iterator[Bar]:
        with self._step(label, total):
            yield self
