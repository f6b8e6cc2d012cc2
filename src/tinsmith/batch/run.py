"""tinsmith batch: answers every row of IN in OUT, and resumes after crashes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import tinsmith
from tinsmith.batch import output
from tinsmith.batch.engine import Counts, Window, WindowResult
from tinsmith.batch.executors import Executor
from tinsmith.batch.items import Item, Items, open_items
from tinsmith.batch.journal import Journal
from tinsmith.batch.settings import Settings
from tinsmith.errors import InputError
from tinsmith.formats.model_files import model_digest
from tinsmith.system import files
from tinsmith.system.progress import Bar, Display

LEAST, MOST = 32, 128  # items of a window
_CHARACTERS = 1 << 21  # of a window's prompts, roughly
_AHEAD = 32  # complete windows that wait for an earlier one
_SECONDS = 4.0  # of a window of a slow model, which a killed run loses


@dataclass(frozen=True)
class Batch:
    file: Path  # the model's
    given: Path  # IN
    out: Path
    settings: Settings
    order: bool = True  # OUT has IN's order; False: windows as they finish
    opening: Mapping[str, Any] = field(default_factory=dict)  # options of tinsmith.load that affect answers
    retry: int = 0  # not 0: answers the failed rows of a finished OUT again
    adapters: Mapping[str, str] = field(default_factory=dict)  # paths of those outside the file, by name

    def header(self, digest: str, given: str) -> dict[str, object]:
        adapters = {name: model_digest(Path(path)) for name, path in self.adapters.items()}
        return {
            "version": tinsmith.__version__,
            "file": {"sha256": digest, **self.opening},
            "in": {"sha256": given},
            "settings": self.settings.as_json(),
            "order": self.order,
            **({"adapters": adapters} if adapters else {}),
        }


def run(batch: Batch, start_executor: Callable[[Settings], Executor], display: Display) -> Counts:
    """Answers the unfinished rows of IN and makes OUT.

    Raises InputError where OUT was started with other settings, another run writes it, or IN or FILE changes
    during the run. Finished rows are kept, and the same call resumes."""
    items = open_items(batch.given, batch.settings)
    batch = replace(batch, settings=items.settings)
    executor = partial(start_executor, items.settings)
    output.check(batch.out, items, batch.order)
    before = {path: _mark(path) for path in (batch.given, batch.file)}
    header = batch.header(model_digest(batch.file), files.sha256_file(batch.given))
    shown = items.images()
    header |= {"images": shown} if shown else {}
    with Journal(batch.out, header, partial(output.finish, items)) as journal:
        if journal.complete:
            if journal.counts.failed and batch.retry and batch.out.suffix.lower() in output.LINES:
                _again(batch, items, executor, journal)
            return journal.counts
        total = items.count()
        display.line(_opening(items, total, journal.counts.items))
        with display.bar("items", total) as bar:
            rate = Rate(journal.counts)
            for done in answered(windows(items, journal.finished, rate), executor, batch.order):
                journal.add(done)
                rate.update(journal.counts, bar)
        changed = next((path for path, mark in before.items() if _mark(path) != mark), None)
        if changed is None and items.images() != shown:
            changed = Path("an image that IN names")
        if changed is not None:
            raise InputError(
                f"{changed}: changed while the rows were answered; remove {journal.part.name} and "
                f"{journal.path.name}, and run the batch again (--cache keeps the answers)"
            )
        journal.end()
        return journal.counts


def _opening(items: Items, total: int, done: int) -> str:
    finished = f", {done:,} of them done" if done else ""
    return f"{items.path}: {total:,} items{finished}, prompts in {'+'.join(items.columns)}"


def _mark(path: Path) -> tuple[int, int, int]:
    about = path.stat()
    return about.st_ino, about.st_size, about.st_mtime_ns


class Rate:
    """The rate of a run: its progress, and the size of its next window, which should take a few seconds."""

    def __init__(self, before: Counts) -> None:
        """before: counts of earlier runs."""
        self._before, self._items, self._started = before, 0, time.monotonic()

    @property
    def _seconds(self) -> float:
        return max(time.monotonic() - self._started, 1e-3)

    def update(self, counts: Counts, bar: Bar) -> None:
        self._items = counts.items - self._before.items
        tokens = (counts.tokens - self._before.tokens) / self._seconds
        failed = f", {counts.failed:,} failed" if counts.failed else ""
        bar.update(counts.items, f"{self._items / self._seconds:,.1f} items/s, {tokens:,.0f} tokens/s{failed}")

    def window(self) -> int:
        return max(LEAST, min(MOST, int(self._items / self._seconds * _SECONDS)))


def answered(
    ahead: Iterator[Window], executor: Callable[[], Executor], order: bool = True
) -> Iterator[WindowResult]:
    """The windows' results, in order or as they finish. Starts the executor at the first window."""
    window = next(ahead, None)
    if window is None:
        return
    workers = executor()
    given: deque[int] = deque()  # windows in progress, or waiting for an earlier one
    waiting: dict[int, WindowResult] = {}
    try:
        while window is not None or given:
            while window is not None and workers.has_room and len(waiting) < _AHEAD:
                workers.submit(window)
                given.append(window.first)
                window = next(ahead, None)
            waiting |= {done.first: done for done in workers.results()}
            for first in list(given):
                if first in waiting:
                    given.remove(first)
                    yield waiting.pop(first)
                elif order:
                    break
    finally:
        workers.close()


def _again(batch: Batch, items: Items, executor: Callable[[], Executor], journal: Journal) -> None:
    """Answers the failed rows of a finished OUT again, and rewrites OUT."""
    rows = zip(journal.positions(), enumerate(output.read(batch.out, items.settings)), strict=False)
    failed = {place: (number, str(row["item"])) for place, (number, row) in rows if "error" in row}
    numbers: list[int] = []  # of the lines to replace

    def retried() -> Iterator[Item]:
        for place, item in enumerate(items):
            number, name = failed.get(place, (0, None))
            if name == str(item.name):  # besides the place: two rows may have the same name
                numbers.append(number)
                yield item

    found: dict[int, bytes] = {}
    for done in answered(gathered(retried()), executor):
        for k, line in enumerate(done.lines.splitlines(keepends=True), done.first):
            if "error" not in output.row_of(line, batch.out, items.settings):
                found[numbers[k]] = line
    if found:
        journal.retried(output.replaced(batch.out, found), len(found))


def gathered(items: Iterable[Item]) -> Iterator[Window]:
    """Windows of items, numbered as they come."""
    first, left = 0, iter(items)
    while window := list(islice(left, MOST)):
        yield Window(first, window)
        first += len(window)


def windows(items: Items, finished: Iterable[range], rate: Rate) -> Iterator[Window]:
    """Windows of consecutive unfinished items."""
    ahead = deque(sorted(finished, key=lambda places: places.start))
    window: list[Item] = []
    first = most = characters = 0
    for place, (number, row) in enumerate(items.rows()):
        while ahead and ahead[0].stop <= place:
            ahead.popleft()
        is_done = bool(ahead) and place in ahead[0]
        if window and (is_done or len(window) == most or characters > _CHARACTERS):
            yield Window(first, window)
            window = []
        if is_done:
            continue
        if not window:
            first, most, characters = place, rate.window(), 0
        window.append(items.item(number, row))
        characters += len(str(window[-1].prompt))
    if window:
        yield Window(first, window)
