"""IN: what is asked, a row at a time, whatever file it stands in.

    items = open_items("questions.csv", settings)
    for item in items:      # reads the file again, with one row in memory at a time
        ...

What a row asks: OpenAI's batch lines (`custom_id`, `body`); `messages`; tinsmith's own examples (`input`,
`turns`, …); the columns that are named, or whose names say that they are prompts. A .txt file asks a line.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from tinsmith import tasks
from tinsmith.batch import where
from tinsmith.batch.settings import Settings
from tinsmith.data import containers, images, readers
from tinsmith.data.containers import Row
from tinsmith.data.images import ImageSource
from tinsmith.data.readers import Example, Where
from tinsmith.data.shapes import LOOKED_AT, SYSTEM, shapes
from tinsmith.data.shapes import text as text_of
from tinsmith.errors import DataError, InputError
from tinsmith.system import reading

_TEXTS = (".txt",)
_SYSTEMS = ("openai", "messages")  # ways that bring their own system message
Messages = list[dict[str, Any]]


@dataclass(frozen=True)
class Item:
    """A row that is to be answered. number: of its row in IN, from 1; name: what OUT's row calls it; asked: a
    conversation, or the text that is continued; body: of a request in OpenAI's shape, which says more than its
    messages; fault: why the row asks nothing."""

    number: int
    name: str | int
    asked: Messages | str = ""
    body: Mapping[str, Any] | None = None
    fault: str | None = None


@dataclass(frozen=True)
class Items:
    """A file's items, read anew by each iteration. way: how its rows ask; columns: those that they ask by;
    header: all that there are."""

    path: Path
    settings: Settings
    way: str
    columns: tuple[str, ...]
    header: tuple[str, ...]

    def rows(self) -> Iterator[tuple[int, Row]]:
        """The rows that are wanted, with their numbers from 1, in their order."""
        wanted = self._where()
        settings = self.settings
        if settings.sample:
            wanted = self._sampled(wanted, sum(1 for _ in wanted()))
        return islice(wanted(), settings.limit or None)

    def _where(self) -> Callable[[], Iterator[tuple[int, Row]]]:
        if self.settings.where is None:
            return lambda: enumerate(_rows(self.path), 1)
        holds = where.compiled(self.settings.where)
        return lambda: (
            (number, row)
            for number, row in enumerate(_rows(self.path), 1)
            if isinstance(row.values, DataError) or holds(row.values)
        )

    def _sampled(
        self, rows: Callable[[], Iterator[tuple[int, Row]]], count: int
    ) -> Callable[[], Iterator[tuple[int, Row]]]:
        """Knuth's algorithm S: so many of `count` rows, each as likely as any, in their order and no memory."""

        def drawn() -> Iterator[tuple[int, Row]]:
            chance, needed = random.Random(self.settings.seed), min(self.settings.sample, count)
            for left, one in zip(range(count, 0, -1), rows(), strict=False):
                if chance.random() * left < needed:
                    needed -= 1
                    yield one

        return drawn

    def count(self) -> int:
        return sum(1 for _ in self.rows())

    def pictures(self) -> str | None:
        """SHA-256 of the files of pictures that the rows name; None where they name none."""
        if self.way == "openai":  # its pictures stand in the lines
            return None
        told = hashlib.sha256()
        found = False
        for item in self:
            for path in _named(item.asked):
                found = True
                told.update(f"{_digest(path)}\n".encode())
        return told.hexdigest() if found else None

    def __iter__(self) -> Iterator[Item]:
        return (self.item(number, row) for number, row in self.rows())

    def item(self, number: int, row: Row) -> Item:
        if isinstance(row.values, DataError):
            return Item(number, number, fault=str(row.values))
        name = row.values.get("custom_id", number) if self.way == "openai" else number
        if not isinstance(name, str | int) or isinstance(name, bool):
            return Item(number, number, fault=f'{row.where}: "custom_id" must be a text')
        try:
            asked, body = self._asked(row.values, row.where)
        except (DataError, InputError) as fault:
            return Item(number, name, fault=str(fault))
        return Item(number, name, asked, body)

    def _asked(
        self, values: Mapping[str, Any], where: Where
    ) -> tuple[Messages | str, Mapping[str, Any] | None]:
        if self.way == "openai":
            body = values.get("body")
            if not isinstance(body, dict) or not isinstance(body.get("messages"), list):
                raise DataError(f'{where}: "body" must be an object with "messages"')
            return self._with_system(_messages(body["messages"], where), values, where), body
        shown = self._pictures(values, where)
        if self.way == "messages":
            if shown:
                raise DataError(
                    f'{where}: pictures beside "messages"; show each in its message, as a part '
                    '{"type": "image", "path": "…"}'
                )
            return self._with_system(_messages(values.get("messages"), where), values, where), None
        if self.way == "input-output":
            own = {key: value for key, value in values.items() if key in readers.KEYS and key != "image"}
            example = replace(readers.asked(own, where, bool(shown)), images=shown)
        else:
            example = Example(self._joined(values, where), "", images=shown, where=where)
        system = _system(values, where)
        if self.settings.raw and (shown or example.turns or system):
            what = "a picture is shown" if shown else "turns and a system message stand"
            raise DataError(f"{where}: {what} in a chat template, and --raw applies none")
        if self.settings.raw:
            return example.input, None
        system = system or self.settings.system or ""
        return [dict(one) for one in tasks.by_name(tasks.DEFAULT).messages(example, system)], None

    def _with_system(self, messages: Messages, values: Mapping[str, Any], where: Where) -> Messages:
        """Behind the row's own system message, or the one for all where it has none."""
        has = messages[0].get("role") in ("system", "developer")
        system = _system(values, where) or (None if has else self.settings.system)
        return [{"role": "system", "content": system}, *messages] if system else messages

    def _pictures(self, values: Mapping[str, Any], where: Where) -> tuple[ImageSource, ...]:
        """Of the row's columns that have a name of pictures in a recipe's data."""
        names = [name for name in values if name in images.COLUMNS and name not in self.columns]
        folder = Path(where.path).parent
        return tuple(one for name in names for one in images.of_value(values[name], folder, where, name))

    def _joined(self, values: Mapping[str, Any], where: Where) -> str:
        given = [text_of(values, name, where) for name in self.columns if not _is_blank(values.get(name))]
        if not given:
            raise DataError(f'{where}: "{self.columns[0]}" is empty; there is nothing to answer')
        return "\n\n".join(given)


def open_items(path: str | Path, settings: Settings) -> Items:
    """Finds how the rows of a file ask. Raises DataError for a file that holds none, or whose columns could be
    meant in several ways or none."""
    path = Path(path)
    if not path.is_file():
        raise DataError(
            f"{path}: no such file; give a file of rows: {', '.join((*containers.suffixes(), *_TEXTS))}"
        )
    first = [row.values for row in islice(_rows(path), LOOKED_AT)]
    rows = [values for values in first if not isinstance(values, DataError)]
    if not rows:
        raise first[0] if first and isinstance(first[0], DataError) else DataError(f"{path}: holds no row")
    columns = list(dict.fromkeys(name for values in rows for name in values))
    way, used = way_of(path, columns, settings.input)
    if settings.raw and way in _SYSTEMS:
        raise InputError(f"{path}: its rows are conversations, which raw prompts are not; leave --raw out")
    shape = settings.shape or ("openai" if way == "openai" else "rows")
    return Items(path, replace(settings, shape=shape), way, used, tuple(columns))


def _named(asked: Messages | str) -> Iterator[str]:
    """The files of pictures in a conversation."""
    for message in asked if isinstance(asked, list) else ():
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            if isinstance(part, dict) and isinstance(part.get("path"), str | Path):
                yield str(part["path"])


def _digest(path: str) -> str | None:
    """None for what can't be read, which its row's error says."""
    try:
        return ImageSource(path).digest if os.path.isfile(path) else None  # noqa: PTH113
    except DataError:
        return None


def _rows(path: Path) -> Iterator[Row]:
    return _lines(path) if path.suffix.lower() in _TEXTS else containers.of_file(path).rows(path)


def _lines(path: Path) -> Iterator[Row]:
    for number, line in enumerate(reading.lines(path, DataError), 1):
        if line.strip():
            where = Where(str(path), number)
            try:
                yield Row(where, {"text": readers.decoded(line, path, number).rstrip("\r\n")})
            except DataError as fault:
                yield Row(where, fault)


def way_of(path: str | Path, columns: Sequence[str], named: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """How rows of these columns ask, and the columns that they ask by. path: what errors call them. Raises
    DataError where that could be meant in several ways, or in none."""
    missing = next((name for name in named if name not in columns), None)
    if missing is not None:
        raise DataError(f'{path}: has no column "{missing}"; its columns are {", ".join(columns)}')
    if named:
        return "columns", named
    for way, needed in (("openai", "body"), ("messages", "messages"), ("input-output", "input")):
        if needed in columns and not (way == "input-output" and "instruction" in columns):
            return way, (needed,)
    found = {
        (*_known(columns, shape.before), one, *_known(columns, shape.after))
        for shape in shapes()
        for one in _known(columns, shape.inputs)
    }
    found |= {(name,) for name in columns if len(columns) == 1}
    if len(found) == 1:
        return "columns", found.pop()
    ways = " or ".join(sorted("+".join(one) for one in found))
    could = f"could be asked by {ways}" if found else "says nowhere what is asked"
    raise DataError(
        f"{path}: with the columns {', '.join(columns)} it {could}; name the column: --input {columns[0]}"
    )


def _known(columns: Sequence[str], names: Sequence[str]) -> list[str]:
    return [name for name in columns if name.strip().lower() in names]


def _messages(value: Any, where: Where) -> Messages:
    if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in value):
        raise DataError(f'{where}: "messages" must be a list of {{"role": "…", "content": "…"}}')
    return [{key: inner for key, inner in one.items() if inner is not None} for one in value]


def _system(values: Mapping[str, Any], where: Where) -> str | None:
    """The row's own system message."""
    column = next((name for name in SYSTEM if not _is_blank(values.get(name))), None)
    return None if column is None else text_of(values, column, where)


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())
