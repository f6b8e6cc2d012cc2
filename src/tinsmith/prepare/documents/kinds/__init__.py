"""Documents as blocks of text, each with its place.

A kind of document is one module of this folder with an instance of a Kind subclass named `kind`. Adding a
module adds the kind: no table lists them.
"""

from __future__ import annotations

import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import ClassVar, Literal

LARGEST = 1 << 26  # bytes of a document


@dataclass(frozen=True)
class Block:
    """A paragraph, a list item or what else stands together. number: of its first line, or of its page, from 1;
    heading: the nearest one above it."""

    text: str
    number: int
    heading: str = ""


class Kind(ABC):
    """suffixes: of its files, in lower case; unit: what a block's number counts."""

    suffixes: ClassVar[tuple[str, ...]]
    unit: ClassVar[Literal["line", "page"]] = "line"

    @abstractmethod
    def blocks(self, path: Path) -> Iterator[Block]:
        """Raises DataError, of one line, for a file that can't be read as this kind."""


@cache
def kinds() -> dict[str, Kind]:
    """By suffix."""
    modules = (import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    every = [one for module in modules if isinstance(one := getattr(module, "kind", None), Kind)]
    return {suffix: kind for kind in every for suffix in kind.suffixes}
