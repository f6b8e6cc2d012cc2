"""Progress of long jobs on stderr: a bar with rich on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

_PLAIN_SECONDS = 10.0  # between plain lines, at least


class Bar(Protocol):
    def update(self, done: float, note: str = "", total: float | None = None) -> None:
        """done: units finished so far; fewer than before starts a new phase. note: a few words such as "loss
        0.31". total: the new total, if it changed."""


class Display(Protocol):
    def line(self, text: str) -> None: ...

    @contextmanager
    def bar(self, label: str, total: float) -> Iterator[Bar]:
        """A bar for `total` units of work, removed when the block ends."""


def display() -> Display:
    """The richest display that stderr and the installed packages allow."""
    if sys.stderr.isatty():
        with suppress(ImportError):
            return RichDisplay()
    return PlainDisplay()


class Silent:
    """Shows nothing, in all but one of several processes with one task."""

    def line(self, text: str) -> None:
        pass

    def update(self, done: float, note: str = "", total: float | None = None) -> None:
        pass

    @contextmanager
    def bar(self, label: str, total: float) -> Iterator[Bar]:
        yield self


class PlainDisplay:
    def line(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    @contextmanager
    def bar(self, label: str, total: float) -> Iterator[Bar]:
        yield _PlainBar(self, label, total)


class _PlainBar:
    def __init__(self, owner: PlainDisplay, label: str, total: float) -> None:
        self.owner, self.label, self.total = owner, label, total
        self.shown = time.monotonic()

    def update(self, done: float, note: str = "", total: float | None = None) -> None:
        now = time.monotonic()
        self.total = total or self.total
        if now - self.shown >= _PLAIN_SECONDS or done >= self.total:
            self.shown = now
            self.owner.line(f"{self.label}: {done:.0f} of {self.total:.0f}{', ' if note else ''}{note}")


class RichDisplay:
    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True, highlight=False)

    def line(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)

    @contextmanager
    def bar(self, label: str, total: float) -> Iterator[Bar]:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            TimeRemainingColumn(compact=True),
        )
        with Progress(*columns, console=self.console, transient=True) as progress:
            yield _RichBar(progress, progress.add_task(label, total=total, note=""))


class _RichBar:
    def __init__(self, progress: Any, task: Any) -> None:
        self.progress, self.task, self.latest = progress, task, 0.0

    def update(self, done: float, note: str = "", total: float | None = None) -> None:
        if done < self.latest:
            self.progress.reset(self.task)
        self.latest = done
        self.progress.update(self.task, completed=done, note=note, total=total)


@contextmanager
def transfer(display: Display, label: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar over `total` bytes, with their rate. Yields a function to call with the bytes of each piece."""
    done, start = 0, time.monotonic()
    with display.bar(f"{label}, MB", total / 1e6) as bar:

        def advance(size: int) -> None:
            nonlocal done
            done += size
            rate = done / 1e6 / max(time.monotonic() - start, 1e-3)
            bar.update(done / 1e6, f"{rate:.0f} MB/s")

        yield advance


def clock(seconds: float) -> str:
    """A readable duration: "8 s", "3 min 05 s", "2 h 10 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
