"""Computes the answers of an OUT again and compares them bit by bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice, tee, zip_longest
from os.path import commonprefix
from pathlib import Path
from typing import Any

from tinsmith.batch import output, run
from tinsmith.batch.engine import Window
from tinsmith.batch.executors import Executor
from tinsmith.batch.items import Item, Items, open_items, sample
from tinsmith.batch.journal import header_of
from tinsmith.batch.settings import Settings
from tinsmith.errors import InputError
from tinsmith.formats.model_files import model_digest
from tinsmith.system import files
from tinsmith.system.progress import Display

SHOWN = 20  # differences that a report lists; all are counted
Row = dict[str, Any]
Pair = tuple[Item, Row]


class Replay:
    """Compares OUT's rows with answers that an executor computes again.

    settings: of OUT. file_options: options of tinsmith.load, with which OUT was made. items: compared. differ:
    number of differences. listed: descriptions of the first. Raises InputError where OUT or its journal cannot
    be read."""

    def __init__(self, out: Path, file: Path, given: Path) -> None:
        self.out, self.file, self.given = out, file, given
        self.items = self.differ = 0
        self.listed: list[str] = []
        header = header_of(out)
        settings, digests = header.get("settings"), [header.get(name) for name in ("file", "in")]
        complete = all(isinstance(one, dict) and isinstance(one.get("sha256"), str) for one in digests)
        if not isinstance(settings, dict) or not complete:
            raise InputError(f"{out}: its journal lacks settings or digests; make OUT again")
        self.settings = Settings.of_json(settings, out)
        self.file_options = {name: value for name, value in header["file"].items() if name != "sha256"}
        self._digests = header["file"]["sha256"], header["in"]["sha256"]
        self._in_order = header.get("order", True)

    def run(self, sample: int, seed: int, executor: Callable[[], Executor], display: Display) -> None:
        """Compares a random sample, drawn by `seed`; all rows where `sample` is 0. Raises InputError where OUT
        or IN cannot be read."""
        digests = model_digest(self.file), files.sha256_file(self.given)
        for name, path, digest, recorded in zip(
            ("FILE", "IN"), (self.file, self.given), digests, self._digests, strict=True
        ):
            if digest != recorded:
                difference = f"is not the {name} that {self.out} was made with"
                self._differs(f"{path}: {difference}: SHA-256 {digest}, recorded {recorded}")
        if self.differ:
            return
        items = open_items(self.given, self.settings)
        total = items.count()
        count = min(sample or total, total)
        with display.bar("items", count) as bar:
            expected: dict[int, list[Pair]] = {}
            pairs = _sampled(self._pairs(items), total, count, seed)
            for done in run.answered(_windows(pairs, expected), executor):
                lines = done.lines.splitlines(keepends=True)
                for (item, row), line in zip(expected.pop(done.first), lines, strict=True):
                    self.items += 1
                    self._compare(item, row, line)
                bar.update(self.items, f"{self.differ} differ" if self.differ else "")

    def _differs(self, difference: str) -> None:
        self.differ += 1
        if len(self.listed) < SHOWN:
            self.listed.append(difference)

    def _pairs(self, items: Items) -> Iterator[Pair]:
        """Each item with its row. An item without a row, or a row without an item, is a difference."""
        rows = output.read(self.out, items.settings)
        if not self._in_order:
            by_name: dict[str, list[Row]] = {}
            for row in rows:
                by_name.setdefault(str(row["item"]), []).append(row)
            for item in items:
                if same := by_name.get(str(item.name)):
                    yield item, same.pop(0)
                else:
                    self._differs(f"item {item.name}: has no row in {self.out}")
            for name, left in by_name.items():
                for _ in left:
                    self._differs(f"item {name}: not in {self.given}, or more often in {self.out}")
            return
        for number, (item, row) in enumerate(zip_longest(items, rows), 1):
            if item is None or row is None or str(row["item"]) != str(item.name):
                actual = "missing" if row is None else f"item {row['item']}"
                wanted = "no row" if item is None else f"item {item.name}"
                self._differs(f"row {number}: is {actual}; expected {wanted}")
                return
            yield item, row

    def _compare(self, item: Item, row: Row, line: bytes) -> None:
        new = output.row_of(line, self.out, self.settings)
        if self.out.suffix.lower() in output.TABLES and "value" in row:
            new["value"] = output.as_text(new.get("value")) or ""
        if "error" in row and "error" in new:
            row = _with_path(row, new["error"], self.given)
        names = ("error", "text", "finish", "receipt", "value", "line")
        wrong = next((name for name in names if row.get(name) != new.get(name)), None)
        if wrong is not None:
            self._differs(f"item {item.name}: {_difference(wrong, row.get(wrong), new.get(wrong))}")


def _sampled(pairs: Iterator[Pair], total: int, count: int, seed: int) -> Iterator[Pair]:
    yield from sample(pairs, total, count, seed)
    for _ in pairs:  # finds rows after the last item too
        pass


def _windows(pairs: Iterator[Pair], expected: dict[int, list[Pair]]) -> Iterator[Window]:
    """Windows of the pairs' items. expected: gets each window's pairs."""
    left, right = tee(pairs)
    for window in run.gathered(item for item, _ in left):
        expected[window.first] = list(islice(right, len(window.items)))
        yield window


def _with_path(row: Row, error: str, given: Path) -> Row:
    """The row with the new error where the two name another path of the same IN."""
    path = str(given)
    if not error.startswith(path) or not str(row["error"]).endswith(f"{given.name}{error[len(path) :]}"):
        return row
    row = {**row, "error": error}
    if "line" in row:
        row["line"] = {**row["line"], "error": {**row["line"]["error"], "message": error}}
    return row


def _difference(name: str, old: Any, new: Any) -> str:
    if name == "text" and isinstance(old, str) and isinstance(new, str):
        at = len(commonprefix((old, new)))  # noqa: RUF071 - of texts
        was, now = old[at : at + 40], new[at : at + 40]
        return f"the text differs from character {at + 1} on: {was!r}, and now {now!r}"
    if name == "receipt":
        return f"the same text with another receipt, {old}, and now {new}: other tokens, or other logits"
    path, old, new = _first_difference("" if name == "line" else name, old, new)
    return f"{path.lstrip('.') or name} is {old!r:.200}, and now {new!r:.200}"


def _first_difference(path: str, old: Any, new: Any) -> tuple[str, Any, Any]:
    """Where two JSON values first differ, and the two values there."""
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        inner = [(f"{path}[{k}]", *both) for k, both in enumerate(zip(old, new, strict=True))]
    elif isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        inner = [(f"{path}.{key}", old[key], new[key]) for key in old]
    else:
        return path, old, new
    return _first_difference(*next(one for one in inner if one[1] != one[2]))
