"""Shapes of rows, and reading examples of any shape from any container.

    opened = open_examples("data.csv", named=Named(output="category"))
    for line in opened.said():
        print(line)                     # what the columns were taken for, and three examples
    for example in opened:              # reads the file again, with one row in memory at a time
        print(example.where, example.input, example.output)
    for one in opened.each():           # the same, with a DataError in place of each row that is no example
        ...

A shape is one module of this folder with an instance of a Shape subclass named `shape`. Which shape a file has
is found from its first rows; one that could be read in two ways is refused with the words that say which is
meant.
"""

from __future__ import annotations

import math
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Protocol

from tinsmith.data import images
from tinsmith.data.containers import Row
from tinsmith.data.containers.folders import Source, sources
from tinsmith.data.images import ImageSource
from tinsmith.data.readers import Example, Where
from tinsmith.errors import DataError
from tinsmith.system import reading

LOOKED_AT = 100  # rows, to find the shape by
SHOWN = 3  # examples
POSTS = "posts"  # the shape whose rows have authors
_WIDTH = 60  # characters of each text shown
SYSTEM = ("system", "system_prompt")  # columns of a row's own system message, in any shape

Values = Mapping[str, Any]


class Wanted(Protocol):
    """What a shape asks of a task: its name, and whether its answers are JSON, or may be lists of texts."""

    @property
    def name(self) -> str: ...
    @property
    def has_values(self) -> bool: ...
    @property
    def has_lists(self) -> bool: ...


@dataclass(frozen=True)
class Named:
    """What a recipe's [data] says of the columns. input: several are joined by blank lines; of a shape of
    chats, the column of the turns; group: of what an example is one of, and is not to be parted from; author:
    of posts, the one whose answers are examples; image: columns of images."""

    shape: str | None = None
    input: tuple[str, ...] = ()
    output: str | None = None
    group: str | None = None
    author: str | None = None
    image: tuple[str, ...] = ()

    def images(self, columns: Sequence[str]) -> list[str]:
        """Those of these columns that hold images."""
        return [name for name in columns if name in (self.image or images.COLUMNS)]


@dataclass(frozen=True)
class Reading:
    """A way to read rows of some columns. input: the columns joined to the input; optional: those of them that
    may be empty or missing; more: the shape's further columns; images: those of images, in any shape."""

    shape: Shape
    input: tuple[str, ...]
    output: str | None = None
    optional: tuple[str, ...] = ()
    more: tuple[str, ...] = ()
    images: tuple[str, ...] = ()

    @property
    def columns(self) -> frozenset[str]:
        return frozenset(name for name in (*self.input, self.output, *self.more, *self.images) if name)

    def shows(self, values: Values) -> bool:
        """Whether a row has images."""
        return any(values.get(name) not in (None, "", []) for name in self.images)

    def __str__(self) -> str:
        names = ", ".join(f'"{name}"' for name in self.input)
        given = [f"input = {names if len(self.input) == 1 else f'[{names}]'}"] if self.input else []
        wanted = [f'output = "{self.output}"'] if self.output else []
        shown = [f"image = {', '.join(self.images)}"] if self.images else []
        return f"{self.shape.name} ({', '.join((*given, *wanted, *shown))})"


class Shape(ABC):
    """name: as a recipe names it. inputs: names of columns that are asked by; before, after: of those joined to
    them where they are there and not empty."""

    name: ClassVar[str]
    inputs: ClassVar[tuple[str, ...]] = ()
    before: ClassVar[tuple[str, ...]] = ()
    after: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def readings(self, columns: Sequence[str], rows: Sequence[Values], named: Named) -> list[Reading]:
        """Ways to read rows of these columns in this shape; none where they have another. rows: the first."""

    def rows(self, rows: Iterator[Row], named: Named) -> Iterator[Row]:
        """The rows that are examples, of those of a file."""
        return rows

    @abstractmethod
    def example(self, values: Values, reading: Reading, where: Where, task: Wanted | None) -> Example:
        """Raises DataError for a row that is none, naming where and the column."""


@cache
def shapes() -> tuple[Shape, ...]:
    """Every shape there is, by name."""
    modules = (import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    found = (getattr(module, "shape", None) for module in modules)
    return tuple(sorted((one for one in found if isinstance(one, Shape)), key=lambda shape: shape.name))


def names() -> tuple[str, ...]:
    return tuple(shape.name for shape in shapes())


@dataclass(frozen=True)
class Opened:
    """A file's examples, read anew by each iteration. reading: what its columns were taken for; unused: the
    columns that no example is made of; named: what was said of them."""

    path: Path
    source: Source
    reading: Reading
    unused: tuple[str, ...]
    named: Named
    task: Wanted | None

    def __iter__(self) -> Iterator[Example]:
        """Reads the file from its beginning. Raises DataError at the first row that is no example."""
        for example in self.each():
            if isinstance(example, DataError):
                raise example
            yield example

    def each(self) -> Iterator[Example | DataError]:
        """The same, with the fault of each row that is no example in its place."""
        return map(self._example, self.reading.shape.rows(self.source.rows(), self.named))

    def _example(self, row: Row) -> Example | DataError:
        if isinstance(row.values, DataError):
            return row.values
        try:
            example = self.reading.shape.example(row.values, self.reading, row.where, self.task)
            if self.reading.images:
                example = replace(example, images=_images(row, self.reading.images))
            if self.named.group is None:
                return example
            return replace(example, group=text(row.values, self.named.group, row.where, self.task))
        except DataError as fault:
            return fault

    def said(self) -> list[str]:
        """What the columns were taken for, and the first three examples, in lines."""
        unused = f"; not used: {', '.join(self.unused)}" if self.unused else ""
        lines = [f"{self.path}: {self.source.title}, read as {self.reading}{unused}"]
        for one in islice(self.each(), SHOWN):
            if isinstance(one, DataError):
                lines.append(f"  {one}")
                continue
            roles = ", ".join(turn.role for turn in one.turns)
            before = f"(after {roles}) " if roles else ""
            place = "" if one.where is None else f"{one.where.place}: "
            seen = "".join(f"[{'x'.join(map(str, image.size()))} pixels] " for image in one.images)
            lines.append(f"  {place}{before}{seen}{_shown(one.input)} → {_shown(one.output)}")
        return lines


def open_examples(
    path: str | Path, *, named: Named | None = None, task: Wanted | None = None, split: str = "train"
) -> Opened:
    """Finds the shape of a file's or folder's rows. task: what the outputs are for; split: of a folder that has
    several.

    Raises DataError for a path that holds no rows, and where the first rows have no shape that is known, or
    could be read in several ways.
    """
    path, named = Path(path), named or Named()
    held = sources(path)
    source = held.get("") or held.get(split)
    if source is None:
        raise DataError(f"{path}: has no {split} split; it has {', '.join(sorted(held))}")
    first = list(islice(source.rows(), LOOKED_AT))
    rows = [row.values for row in first if not isinstance(row.values, DataError)]
    if not rows:
        if fault := next((row.values for row in first if isinstance(row.values, DataError)), None):
            raise fault
        raise DataError(f"{path}: holds no example; write at least one row")
    columns = list(dict.fromkeys(name for row in rows for name in row))
    found = _reading(path, columns, rows, named)
    if named.author is not None and found.shape.name != POSTS:
        raise DataError(f"{path}: [data] author is of the shape {POSTS}; this file is read as {found}")
    if named.group is not None and found.shape.name == POSTS:
        raise DataError(f"{path}: [data] group: of {POSTS} each thread stays in one split; leave it out")
    used = found.columns | {named.group} | set(SYSTEM)
    unused = tuple(name for name in columns if name not in used)
    return Opened(path, source, found, unused, named, task)


def _reading(path: Path, columns: Sequence[str], rows: Sequence[Values], named: Named) -> Reading:
    listed = ", ".join(columns)
    for name in (*named.input, named.output, named.group, *named.image):
        if name is not None and name not in columns:
            raise DataError(f'{path}: has no column "{name}", which [data] names; its columns are {listed}')
    if named.shape is not None and named.shape not in names():
        raise DataError(f'[data] shape = "{named.shape}" does not exist; the shapes are {", ".join(names())}')
    tried = [shape for shape in shapes() if named.shape in (None, shape.name)]
    found = [reading for shape in tried for reading in shape.readings(columns, rows, named)]
    if len(found) == 1:
        is_posts = found[0].shape.name == POSTS  # whose examples are of several rows, and of texts alone
        return replace(found[0], images=() if is_posts else tuple(named.images(columns)))
    if found:
        ways = " or ".join(map(str, found))
        raise DataError(f"{path}: could be {ways}; say in [data] which: shape, input, output")
    wanted = f"is not of the shape {named.shape}" if named.shape else "is of no shape that is known"
    raise DataError(
        f'{path}: with the columns {listed} it {wanted}; name them in [data], as in input = "{columns[0]}", '
        f'output = "{columns[-1]}", or give it a shape: {", ".join(names())}'
    )


def text(
    values: Values, column: str, where: Where, task: Wanted | None = None, *, is_output: bool = False
) -> str:
    """A column's value as a stripped text. A number is written as JSON has it; so is, compactly, a table or
    list that is an output of a task with JSON answers. Raises DataError where there is none."""
    value = values.get(column)
    if value is None:
        raise DataError(f'{where}: "{column}" is missing; an example needs it')
    if isinstance(value, str):
        if not value.strip():
            raise DataError(f'{where}: "{column}" is empty; write a text, or leave the row out')
        return value.strip()
    if isinstance(value, float) and not math.isfinite(value):
        raise DataError(f'{where}: "{column}" is {value}, which is no value; write one, or leave the row out')
    if is_output or not isinstance(value, dict | list):
        return _written(value, column, where, task)
    raise DataError(f'{where}: "{column}" must be a text, got {_kind(value)}')


def _images(row: Row, columns: Sequence[str]) -> tuple[ImageSource, ...]:
    """A row's images, each looked at. Raises DataError, with the row's place, for one that is missing, is
    none or is too large."""
    assert not isinstance(row.values, DataError)
    found: list[ImageSource] = []
    for column in columns:
        for image in images.of_value(row.values.get(column), _folder(row.where), row.where, column):
            try:
                image.size()
            except DataError as fault:
                raise DataError(f'{row.where}: "{column}": {fault}') from None
            found.append(image)
    return tuple(found)


def _folder(where: Where) -> Path:
    return Path(where.path).parent


def _written(value: Any, column: str, where: Where, task: Wanted | None) -> str:
    import json

    is_json = isinstance(value, dict | list) and not (isinstance(value, list) and task and task.has_lists)
    if is_json and task is not None and not task.has_values:
        answers = f"an answer of the task {task.name} is a text"
        raise DataError(f'{where}: "{column}" must be a text, got {_kind(value)}; {answers}')
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError):
        raise DataError(f'{where}: "{column}" must be a text or JSON, got {_kind(value)}') from None


def _kind(value: Any) -> str:
    """What a value is, of JSON or of what Parquet holds beside."""
    known = value is None or isinstance(value, dict | list | str | bool | int | float)
    return reading.kind(value) if known else f"a value of type {type(value).__name__}"


def _shown(value: str) -> str:
    line = " ".join(value.split())
    return line if len(line) <= _WIDTH else f"{line[:_WIDTH]}…"
