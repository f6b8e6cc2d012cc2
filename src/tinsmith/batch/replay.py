"""Computes the answers of an OUT again and compares them bit by bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
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

SHOWN = 20  # reported differences; all are counted
Row = dict[str, Any]
Pair = tuple[Item, Row]


@dataclass
class Result:
    """items: compared; differ: how many are not equal; said: where the first of those differ."""

    items: int = 0
    differ: int = 0
    said: list[str] = field(default_factory=list)

    def add(self, what: str) -> None:
        self.differ += 1
        if len(self.said) < SHOWN:
            self.said.append(what)


@dataclass(frozen=True)
class Replay:
    """Of OUT's rows, `sample` at random drawn by `seed`, or all where that is 0."""

    out: Path
    file: Path
    given: Path
    sample: int = 0
    seed: int = 0

    def header(self) -> tuple[Settings, dict[str, Any]]:
        """How OUT was asked for, and how its journal has it."""
        header, _ = header_of(self.out)
        settings, digests = header.get("settings"), [header.get(name) for name in ("file", "in")]
        told = all(isinstance(one, dict) and isinstance(one.get("sha256"), str) for one in digests)
        if not isinstance(settings, dict) or not told:
            raise InputError(f"{self.out}: its journal does not say how it was made; make it again")
        return Settings.of_json(settings, self.out), header


def replay(asked: Replay, executor: Callable[[], Executor], display: Display) -> Result:
    """Raises InputError where OUT, its journal or IN can't be read."""
    settings, header = asked.header()
    result = Result()
    for name, path, digest in (
        ("FILE", asked.file, model_digest(asked.file)),
        ("IN", asked.given, files.sha256_file(asked.given)),
    ):
        was = header["file" if name == "FILE" else "in"]["sha256"]
        if digest != was:
            result.add(
                f"{path}: is not the {name} that {asked.out} was made with: its SHA-256 is {digest}, "
                f"and was {was}"
            )
    if result.differ:
        return result
    items = open_items(asked.given, settings)
    total = items.count()
    compared = min(asked.sample or total, total)
    with display.bar("items", compared) as bar:
        expected: dict[int, list[Pair]] = {}
        pairs = _sampled(_pairs(asked, items, header.get("order", True), result), asked, total)
        for done in run.answered(_windows(pairs, expected), executor):
            lines = done.lines.splitlines(keepends=True)
            for (item, row), line in zip(expected.pop(done.first), lines, strict=True):
                result.items += 1
                _compare(asked, settings, item, row, line, result)
            bar.update(result.items, f"{result.differ} differ" if result.differ else "")
    return result


def _pairs(asked: Replay, items: Items, order: bool, result: Result) -> Iterator[Pair]:
    """Each item with its row; what stands in one of the two alone is a difference."""
    rows = output.read(asked.out, items.settings)
    if not order:
        held: dict[str, list[Row]] = {}
        for row in rows:
            held.setdefault(str(row["item"]), []).append(row)
        for item in items:
            if same := held.get(str(item.name)):
                yield item, same.pop(0)
            else:
                result.add(f"item {item.name}: has no row in {asked.out}")
        for name, left in held.items():
            for _ in left:
                result.add(f"item {name}: is none of {asked.given}, or stands twice in {asked.out}")
        return
    for number, (item, row) in enumerate(zip_longest(items, rows), 1):
        if item is None or row is None or str(row["item"]) != str(item.name):
            there = "nothing" if row is None else f"item {row['item']}"
            due = "nothing" if item is None else f"item {item.name}"
            result.add(f"row {number}: is {there}, and should be {due}")
            return
        yield item, row


def _sampled(pairs: Iterator[Pair], asked: Replay, total: int) -> Iterator[Pair]:
    yield from sample(pairs, total, asked.sample or total, asked.seed)
    for _ in pairs:  # what stands behind the last item is found too
        pass


def _windows(pairs: Iterator[Pair], expected: dict[int, list[Pair]]) -> Iterator[Window]:
    held: list[Pair] = []

    def items() -> Iterator[Item]:
        for pair in pairs:
            held.append(pair)
            yield pair[0]

    for window in run.gathered(items()):
        count = len(window.items)
        expected[window.first], held[:count] = held[:count], []
        yield window


def _compare(asked: Replay, settings: Settings, item: Item, row: Row, line: bytes, result: Result) -> None:
    now = output.row_of(line, asked.out, settings)
    if asked.out.suffix.lower() in output.TABLES and "value" in row:
        now["value"] = output.as_text(now.get("value")) or ""
    if "error" in row and "error" in now:
        row = _of_here(row, now["error"], asked.given)
    names = ("error", "text", "finish", "receipt", "value", "line")
    odd = next((name for name in names if name in {**row, **now} and row.get(name) != now.get(name)), None)
    if odd is not None:
        result.add(f"item {item.name}: {_said(odd, row, now)}")


def _of_here(row: Row, reason: str, given: Path) -> Row:
    """A row whose reason is the same but for where IN lay when it was said, with the one that is said here."""
    place = str(given)
    if not reason.startswith(place) or not str(row["error"]).endswith(f"{given.name}{reason[len(place) :]}"):
        return row
    told = {**row, "error": reason}
    if "line" in row:
        told["line"] = {**row["line"], "error": {**row["line"]["error"], "message": reason}}
    return told


def _said(name: str, row: Row, now: Row) -> str:
    was, new = row.get(name), now.get(name)
    if name == "text" and isinstance(was, str) and isinstance(new, str):
        at = next(
            (k for k, (one, two) in enumerate(zip(was, new, strict=False)) if one != two),
            min(len(was), len(new)),
        )
        return (
            f"the text differs from character {at + 1} on: {was[at : at + 40]!r}, and now {new[at : at + 40]!r}"
        )
    if name == "receipt":
        return f"the same text with another receipt, {was}, and now {new}: other tokens, or other logits"
    place, was, new = _differing("" if name == "line" else name, was, new)
    return f"{place.lstrip('.') or name} is {was!r:.200}, and now {new!r:.200}"


def _differing(place: str, was: Any, now: Any) -> tuple[str, Any, Any]:
    """Where two values of JSON differ first, and what stands there."""
    if isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        inner = [(f"{place}[{k}]", *both) for k, both in enumerate(zip(was, now, strict=True))]
    elif isinstance(was, dict) and isinstance(now, dict) and was.keys() == now.keys():
        inner = [(f"{place}.{key}", was[key], now[key]) for key in was]
    else:
        return place, was, now
    return _differing(*next(one for one in inner if one[1] != one[2]))
