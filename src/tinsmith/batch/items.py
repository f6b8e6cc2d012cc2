"""IN's rows as items, one at a time, from any file format.

    items = open_items("questions.csv", settings)
    for item in items:      # reads the file again, with one row in memory at a time
        ...

A row is a line of OpenAI's batches (`custom_id`, `body`), has `messages`, is one of tinsmith's examples
(`input`, `turns`, …), or has its prompt in columns that are named or have the usual names. A line of a .txt
file is a prompt.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

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
_CHATS = ("openai", "messages")  # layouts with system messages in their rows
Messages = list[dict[str, Any]]
T = TypeVar("T")


@dataclass(frozen=True)
class Item:
    """A row to answer."""

    number: int  # of its row in IN, from 1
    name: str | int  # in OUT
    prompt: Messages | str = ""  # a conversation, or a text to continue
    body: Mapping[str, Any] | None = None  # of a request in OpenAI's format
    error: str | None = None  # why there is no prompt


@dataclass(frozen=True)
class Items:
    """A file's items; each iteration reads it anew."""

    path: Path
    settings: Settings
    layout: str  # of rows: "openai", "messages", "input-output" or "columns"
    columns: tuple[str, ...]  # with the prompt
    header: tuple[str, ...]  # all columns

    def rows(self) -> Iterator[tuple[int, Row]]:
        """The selected rows with their numbers, from 1, in order."""
        rows, size = self._matching(), self.settings.sample
        if size:
            rows = sample(rows, sum(1 for _ in self._matching()), size, self.settings.seed)
        return islice(rows, self.settings.limit or None)

    def _matching(self) -> Iterator[tuple[int, Row]]:
        numbered = enumerate(_rows(self.path), 1)
        if self.settings.where is None:
            return numbered
        matches = where.compiled(self.settings.where)
        return (
            (number, row)
            for number, row in numbered
            if isinstance(row.values, DataError) or matches(row.values)
        )

    def count(self) -> int:
        return sum(1 for _ in self.rows())

    def images(self) -> str | None:
        """SHA-256 of the image files that the rows name; None without any."""
        if self.layout == "openai":  # its lines contain the images
            return None
        digest, found = hashlib.sha256(), False
        for item in self:
            for path in _image_paths(item.prompt):
                found = True
                digest.update(f"{_digest(path)}\n".encode())
        return digest.hexdigest() if found else None

    def __iter__(self) -> Iterator[Item]:
        return (self.item(number, row) for number, row in self.rows())

    def item(self, number: int, row: Row) -> Item:
        if isinstance(row.values, DataError):
            return Item(number, number, error=str(row.values))
        name = row.values.get("custom_id", number) if self.layout == "openai" else number
        if not isinstance(name, str | int) or isinstance(name, bool):
            return Item(number, number, error=f'{row.where}: "custom_id" must be a text')
        try:
            if self.layout == "openai":
                body = row.values.get("body")
                if not isinstance(body, dict):
                    raise DataError(f'{row.where}: "body" must be an object with "messages"')
                messages = _messages(body.get("messages"), row.where)
                return Item(number, name, self._with_system(messages, row.values, row.where), body)
            return Item(number, name, self._prompt(row.values, row.where))
        except (DataError, InputError) as error:
            return Item(number, name, error=str(error))

    def _prompt(self, values: Mapping[str, Any], where: Where) -> Messages | str:
        shown = self._images(values, where)
        if self.layout == "messages":
            if shown:
                raise DataError(
                    f'{where}: images beside "messages"; put each into its message, as a part '
                    '{"type": "image", "path": "…"}'
                )
            return self._with_system(_messages(values.get("messages"), where), values, where)
        if self.layout == "input-output":
            own = {key: value for key, value in values.items() if key in readers.KEYS and key != "image"}
            example = replace(readers.unanswered(own, where, bool(shown)), images=shown)
        else:
            example = Example(self._joined(values, where), "", images=shown, where=where)
        system = _system(values, where)
        if self.settings.raw and (shown or example.turns or system):
            what = "images need" if shown else "turns and system messages need"
            raise DataError(f"{where}: {what} a chat template, which --raw leaves out")
        if self.settings.raw:
            return example.input
        system = system or self.settings.system or ""
        return [dict(one) for one in tasks.by_name(tasks.DEFAULT).messages(example, system)]

    def _with_system(self, messages: Messages, values: Mapping[str, Any], where: Where) -> Messages:
        """Adds the row's system message, else the setting's."""
        has = messages[0].get("role") in ("system", "developer")
        system = _system(values, where) or (None if has else self.settings.system)
        return [{"role": "system", "content": system}, *messages] if system else messages

    def _images(self, values: Mapping[str, Any], where: Where) -> tuple[ImageSource, ...]:
        """Images of columns with the names that a recipe's data uses."""
        names = [name for name in values if name in images.COLUMNS and name not in self.columns]
        folder = Path(where.path).parent
        return tuple(one for name in names for one in images.of_value(values[name], folder, where, name))

    def _joined(self, values: Mapping[str, Any], where: Where) -> str:
        given = [text_of(values, name, where) for name in self.columns if not _is_blank(values.get(name))]
        if not given:
            raise DataError(f'{where}: "{self.columns[0]}" is empty')
        return "\n\n".join(given)


def open_items(path: str | Path, settings: Settings) -> Items:
    """Finds the layout of a file's rows."""
    path = Path(path)
    if not path.is_file():
        raise DataError(
            f"{path}: no such file; give a file of rows: {', '.join((*containers.suffixes(), *_TEXTS))}"
        )
    first = [row.values for row in islice(_rows(path), LOOKED_AT)]
    rows = [values for values in first if not isinstance(values, DataError)]
    if not rows:
        raise first[0] if first and isinstance(first[0], DataError) else DataError(f"{path}: no rows")
    columns = list(dict.fromkeys(name for values in rows for name in values))
    layout, used = layout_of(path, columns, settings.input)
    if settings.raw and layout in _CHATS:
        raise InputError(f"{path}: its rows are conversations; leave --raw out")
    shape = settings.shape or ("openai" if layout == "openai" else "rows")
    return Items(path, replace(settings, shape=shape), layout, used, tuple(columns))


def sample(rows: Iterator[T], count: int, size: int, seed: int) -> Iterator[T]:
    """Knuth's algorithm S: a random sample of `count` rows in their order, without storing them."""
    chance, needed = random.Random(seed), min(size, count)
    for left, one in zip(range(count, 0, -1), rows, strict=False):
        if chance.random() * left < needed:
            needed -= 1
            yield one


def _image_paths(prompt: Messages | str) -> Iterator[str]:
    for message in prompt if isinstance(prompt, list) else ():
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            if isinstance(part, dict) and isinstance(part.get("path"), str | Path):
                yield str(part["path"])


def _digest(path: str) -> str | None:
    """None for an unreadable file, which is its row's error."""
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


def layout_of(path: str | Path, columns: Sequence[str], named: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """The layout of rows, and the columns with their prompts. path: the rows' name in errors."""
    for name in named:
        if name not in columns:
            raise DataError(f'{path}: no column "{name}"; its columns are {", ".join(columns)}')
    if named:
        return "columns", named
    for layout, needed in (("openai", "body"), ("messages", "messages"), ("input-output", "input")):
        if needed in columns and not (layout == "input-output" and "instruction" in columns):
            return layout, (needed,)
    found = {
        (*_known(columns, shape.before), one, *_known(columns, shape.after))
        for shape in shapes()
        for one in _known(columns, shape.inputs)
    }
    found |= {(name,) for name in columns if len(columns) == 1}
    if len(found) == 1:
        return "columns", found.pop()
    candidates = " or ".join(sorted("+".join(one) for one in found)) or "none is a known one"
    raise DataError(
        f"{path}: its columns are {', '.join(columns)}; the prompt's is unclear ({candidates}); name it: "
        f"--input {columns[0]}"
    )


def _known(columns: Sequence[str], names: Sequence[str]) -> list[str]:
    return [name for name in columns if name.strip().lower() in names]


def _messages(value: Any, where: Where) -> Messages:
    if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in value):
        raise DataError(f'{where}: "messages" must be a list of {{"role": "…", "content": "…"}}')
    return [{key: inner for key, inner in one.items() if inner is not None} for one in value]


def _system(values: Mapping[str, Any], where: Where) -> str | None:
    """The row's system message."""
    column = next((name for name in SYSTEM if not _is_blank(values.get(name))), None)
    return None if column is None else text_of(values, column, where)


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())
