"""Shapes of rows, and reading examples of any shape from any container.

    opened = open_examples("data.csv", named=Named(output="category"))
    for line in opened.summary():
        print(line)                     # the roles of the columns, and three examples
    for example in opened:              # reads the file again, with one row in memory at a time
        print(example.where, example.input, example.output)
    for one in opened.each():           # the same, with a DataError for each row that is not an example
        ...

Each module of this package lists its shapes in SHAPES. The first rows of a file decide its shape; a file that
two shapes fit is refused with the recipe keys that decide.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Protocol

from tinsmith.data import images
from tinsmith.data.containers import Row
from tinsmith.data.containers.folders import Source, sources
from tinsmith.data.images import ImageSource
from tinsmith.data.readers import Example, Turn, Where
from tinsmith.errors import DataError
from tinsmith.system import reading
from tinsmith.system.plugins import exported

LOOKED_AT = 100  # first rows, which decide the shape
SHOWN = 3  # examples
POSTS = "posts"  # the shape whose rows have authors
_WIDTH = 60  # characters of each text in the summary
SYSTEM = ("system", "system_prompt")  # columns of a row's own system message, in any shape

Values = Mapping[str, Any]


class TaskTraits(Protocol):
    """The task of the examples: its name, and whether its answers are JSON, or may be lists of texts."""

    @property
    def name(self) -> str: ...
    @property
    def has_values(self) -> bool: ...
    @property
    def has_lists(self) -> bool: ...


@dataclass(frozen=True)
class Named:
    """The columns that a recipe's [data] names. input: several are joined by blank lines; in chats, the column
    of the messages. group: of a document or customer, whose examples stay in one split. author: of posts, whose
    answers are the examples. image: columns of images."""

    shape: str | None = None
    input: tuple[str, ...] = ()
    output: str | None = None
    group: str | None = None
    author: str | None = None
    image: tuple[str, ...] = ()

    def images(self, columns: Sequence[str]) -> list[str]:
        """The columns that hold images."""
        return [name for name in columns if name in (self.image or images.COLUMNS)]


@dataclass(frozen=True)
class Reading:
    """A way to read rows of some columns. input: columns joined into the input. optional: input columns that
    may be empty or missing. more: the shape's other columns. images: columns of images, in any shape."""

    shape: Shape
    input: tuple[str, ...]
    output: str | None = None
    optional: tuple[str, ...] = ()
    more: tuple[str, ...] = ()
    images: tuple[str, ...] = ()

    @property
    def columns(self) -> frozenset[str]:
        return frozenset(name for name in (*self.input, self.output, *self.more, *self.images) if name)

    def has_images(self, values: Values) -> bool:
        return any(values.get(name) not in (None, "", []) for name in self.images)

    def __str__(self) -> str:
        names = ", ".join(f'"{name}"' for name in self.input)
        parts = [f"input = {names if len(self.input) == 1 else f'[{names}]'}"] if self.input else []
        parts += [f'output = "{self.output}"'] if self.output else []
        parts += [f"image = {', '.join(self.images)}"] if self.images else []
        return f"{self.shape.name} ({', '.join(parts)})"


class Shape(ABC):
    """name: in a recipe. inputs: names of prompt columns. before, after: names of optional columns that are
    joined to the prompt."""

    name: ClassVar[str]
    inputs: ClassVar[tuple[str, ...]] = ()
    before: ClassVar[tuple[str, ...]] = ()
    after: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def readings(self, columns: Sequence[str], rows: Sequence[Values], named: Named) -> list[Reading]:
        """The ways to read these columns in this shape; empty for another shape. rows: the file's first."""

    def rows(self, rows: Iterator[Row], named: Named) -> Iterator[Row]:
        """The rows of a file that are examples."""
        return rows

    @abstractmethod
    def example(self, values: Values, reading: Reading, where: Where, task: TaskTraits | None) -> Example:
        """Raises DataError, with the place and the column, for a row that is not an example."""


@cache
def shapes() -> tuple[Shape, ...]:
    """Every shape, by name."""
    return tuple(sorted(exported(__name__, "SHAPES"), key=lambda shape: shape.name))


def names() -> tuple[str, ...]:
    return tuple(shape.name for shape in shapes())


@dataclass(frozen=True)
class Opened:
    """A file's examples, read anew by each iteration. unused: columns that no example uses."""

    path: Path
    source: Source
    reading: Reading
    unused: tuple[str, ...]
    named: Named
    task: TaskTraits | None

    def __iter__(self) -> Iterator[Example]:
        """Reads the file from its beginning. Raises DataError at the first row that is not an example."""
        for example in self.each():
            if isinstance(example, DataError):
                raise example
            yield example

    def each(self) -> Iterator[Example | DataError]:
        """The same, with a DataError for each row that is not an example."""
        return map(self._example, self.reading.shape.rows(self.source.rows(), self.named))

    def _example(self, row: Row) -> Example | DataError:
        if isinstance(row.values, DataError):
            return row.values
        try:
            example = self.reading.shape.example(row.values, self.reading, row.where, self.task)
            if self.reading.images:
                example = replace(example, images=_images(row.values, row.where, self.reading.images))
            if self.named.group is not None:
                example = replace(example, group=text(row.values, self.named.group, row.where, self.task))
            return example
        except DataError as fault:
            return fault

    def summary(self) -> list[str]:
        """The roles of the columns, and the first three examples, in lines."""
        unused = f"; not used: {', '.join(self.unused)}" if self.unused else ""
        lines = [f"{self.path}: {self.source.title}, read as {self.reading}{unused}"]
        for one in islice(self.each(), SHOWN):
            if isinstance(one, DataError):
                lines.append(f"  {one}")
                continue
            roles = ", ".join(turn.role for turn in one.turns)
            before = f"(after {roles}) " if roles else ""
            place = "" if one.where is None else f"{one.where.place}: "
            sizes = "".join(f"[{'x'.join(map(str, image.size()))} pixels] " for image in one.images)
            lines.append(f"  {place}{before}{sizes}{_short(one.input)} → {_short(one.output)}")
        return lines


def open_examples(
    path: str | Path, *, named: Named | None = None, task: TaskTraits | None = None, split: str = "train"
) -> Opened:
    """Finds the shape of a file's or folder's rows. task: of the outputs; split: of a folder with several.

    Raises DataError for a path without rows, and for rows that no shape or several shapes fit.
    """
    path, named = Path(path), named or Named()
    splits = sources(path)
    source = splits.get("") or splits.get(split)
    if source is None:
        raise DataError(f"{path}: has no {split} split; it has {', '.join(sorted(splits))}")
    first = [row.values for row in islice(source.rows(), LOOKED_AT)]
    rows = [values for values in first if not isinstance(values, DataError)]
    if not rows:
        raise next(
            (values for values in first if isinstance(values, DataError)),
            DataError(f"{path}: holds no example; write at least one row"),
        )
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
    candidates = [shape for shape in shapes() if named.shape in (None, shape.name)]
    found = [reading for shape in candidates for reading in shape.readings(columns, rows, named)]
    if len(found) == 1:
        is_posts = found[0].shape.name == POSTS  # whose examples join several rows, and hold text alone
        return replace(found[0], images=() if is_posts else tuple(named.images(columns)))
    if found:
        ways = " or ".join(map(str, found))
        raise DataError(f"{path}: could be {ways}; choose one in [data] by shape, input or output")
    mismatch = f"is not of the shape {named.shape}" if named.shape else "is of no shape that is known"
    raise DataError(
        f'{path}: with the columns {listed} it {mismatch}; name them in [data], as in input = "{columns[0]}", '
        f'output = "{columns[-1]}", or give it a shape: {", ".join(names())}'
    )


def text(
    values: Values, column: str, where: Where, task: TaskTraits | None = None, *, is_output: bool = False
) -> str:
    """A column's value as stripped text. A number becomes JSON; so does, compactly, a table or list that is an
    output of a task with JSON answers. Raises DataError for a value without a text."""
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
        return _as_json(value, column, where, task)
    raise DataError(f'{where}: "{column}" must be a text, got {reading.kind(value)}')


def _as_json(value: Any, column: str, where: Where, task: TaskTraits | None) -> str:
    import json

    is_json = isinstance(value, dict | list) and not (isinstance(value, list) and task and task.has_lists)
    if is_json and task is not None and not task.has_values:
        answers = f"an answer of the task {task.name} is a text"
        raise DataError(f'{where}: "{column}" must be a text, got {reading.kind(value)}; {answers}')
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError):
        raise DataError(f'{where}: "{column}" must be a text or JSON, got {reading.kind(value)}') from None


def system(values: Values, where: Where) -> tuple[Turn, ...]:
    """The row's own system message, if any."""
    column = next((name for name in SYSTEM if not is_blank(values.get(name))), None)
    return () if column is None else (Turn("system", text(values, column, where)),)


def is_blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _images(values: Values, where: Where, columns: Sequence[str]) -> tuple[ImageSource, ...]:
    """A row's images. Raises DataError, with the row's place, for one that is missing, unknown or too large."""
    found: list[ImageSource] = []
    for column in columns:
        for image in images.of_value(values.get(column), Path(where.path).parent, where, column):
            try:
                image.size()
            except DataError as fault:
                raise DataError(f'{where}: "{column}": {fault}') from None
            found.append(image)
    return tuple(found)


def _short(value: str) -> str:
    line = " ".join(value.split())
    return line if len(line) <= _WIDTH else f"{line[:_WIDTH]}…"
