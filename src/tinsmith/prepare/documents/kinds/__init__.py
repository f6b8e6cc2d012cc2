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

from tinsmith.errors import DataError, MissingExtraError
from tinsmith.system import limited

LARGEST = 1 << 26  # bytes of a document
# Processor time to parse one: for any document, for each MB more, and at most.
SECONDS, SECONDS_PER_MB, MOST_SECONDS = 10, 60, 600
_CHILD = limited.Child("tinsmith.prepare.documents.parse")


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

    def blocks(self, path: Path) -> list[Block]:
        """A document's blocks, parsed by a child process. Raises DataError, of one line, for a file that can't
        be read as this kind, or not within the limits."""
        seconds = _seconds(path)
        try:
            answer = _CHILD.ask({"folder": str(Path.cwd()), "path": str(path)}, seconds)
        except limited.Ended as ended:
            why = f"takes more than {seconds} seconds" if ended.late else f"its parser ended ({ended.status})"
            raise DataError(f"{path}: can't be read: {why}; leave it out, or save it in another form") from None
        if "missing" in answer:
            raise MissingExtraError(*answer["missing"])
        if "fault" in answer:
            raise DataError(answer["fault"])
        return [Block(*one) for one in answer["blocks"]]

    @abstractmethod
    def parse(self, path: Path) -> Iterator[Block]:
        """The same in this process, without limits."""


def _seconds(path: Path) -> int:
    """Of processor time that a document has, by its size."""
    try:
        size = path.stat().st_size
    except (OSError, ValueError):  # reading it says so
        size = 0
    return min(SECONDS + SECONDS_PER_MB * size // 1_000_000, MOST_SECONDS)


@cache
def kinds() -> dict[str, Kind]:
    """By suffix."""
    modules = (import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    every = [one for module in modules if isinstance(one := getattr(module, "kind", None), Kind)]
    return {suffix: kind for kind in every for suffix in kind.suffixes}
