"""Containers: what holds rows, before anyone asks what the rows mean. A row is a table of values by column.

A container is one module of this folder with an instance of a Container subclass named `container`: JSON and
JSON lines, CSV and TSV, Parquet and Arrow. Folders hold files of these, or texts (`folders.py`, `texts.py`).
Every one gives its rows one at a time, so that a file of any size takes the memory of a few rows.
"""

from __future__ import annotations

import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from tinsmith.data.readers import Where
from tinsmith.errors import DataError


@dataclass(frozen=True)
class Row:
    """values: by column; or the fault that keeps this row, and no other, from being read."""

    where: Where
    values: Mapping[str, Any] | DataError


class Container(ABC):
    """A kind of file. title: in words; suffixes: of its files' names."""

    title: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]

    @abstractmethod
    def rows(self, path: Path) -> Iterator[Row]:
        """Raises DataError where the file can't be read further; what is wrong with one row is in its place."""


@cache
def containers() -> tuple[Container, ...]:
    modules = (import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    found = (getattr(module, "container", None) for module in modules)
    return tuple(one for one in found if isinstance(one, Container))


def suffixes() -> tuple[str, ...]:
    return tuple(suffix for one in containers() for suffix in one.suffixes)


def of_file(path: Path) -> Container:
    """Raises DataError for a file of a kind that rows aren't read from, listing those that they are."""
    for one in containers():
        if path.suffix.lower() in one.suffixes:
            return one
    raise DataError(f"{path}: rows are read from {', '.join(suffixes())} files and from folders; convert it")
