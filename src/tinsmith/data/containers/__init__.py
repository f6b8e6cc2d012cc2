"""Containers: files and folders of rows, whatever the rows mean. A row is a table of values by column.

Each module of this package lists its containers in CONTAINERS: JSON and JSON lines, CSV and TSV, Parquet and
Arrow, mailboxes. Folders hold files of these, or texts (`folders.py`, `texts.py`). Rows are read one at a time,
so that a file of any size takes the memory of a few rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tinsmith.data.readers import Where
from tinsmith.errors import DataError
from tinsmith.system.plugins import exported


@dataclass(frozen=True)
class Row:
    """values: by column; or why this row, and no other, can't be read."""

    where: Where
    values: Mapping[str, Any] | DataError


@dataclass(frozen=True)
class Container:
    """A file format. title: its name in messages. rows: raises DataError if the rest of the file can't be read;
    a DataError of one row takes its place."""

    title: str
    suffixes: tuple[str, ...]
    rows: Callable[[Path], Iterator[Row]]


@cache
def containers() -> tuple[Container, ...]:
    return tuple(exported(__name__, "CONTAINERS"))


def suffixes() -> tuple[str, ...]:
    return tuple(suffix for one in containers() for suffix in one.suffixes)


def of_file(path: Path) -> Container:
    """Raises DataError for a file of another format, listing the known ones."""
    for one in containers():
        if path.suffix.lower() in one.suffixes:
            return one
    raise DataError(f"{path}: rows are read from {', '.join(suffixes())} files and from folders; convert it")
