"""Document formats: documents as blocks of text, each with its line or page.

Each module of this package lists its formats in KINDS."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar, Literal

from tinsmith.errors import DataError, MissingExtraError
from tinsmith.system import limited
from tinsmith.system.plugins import exported

LARGEST = 1 << 26  # bytes of a document
# CPU time to parse a document: at least, per MB, and at most.
SECONDS, SECONDS_PER_MB, MOST_SECONDS = 10, 60, 600
_CHILD = limited.Child("tinsmith.prepare.documents.parse")


@dataclass(frozen=True)
class Block:
    """A paragraph or a list item. number: of its first line, or of its page, from 1. heading: above it."""

    text: str
    number: int
    heading: str = ""


class Kind(ABC):
    """suffixes: of its files, in lower case. unit: of a block's number."""

    suffixes: ClassVar[tuple[str, ...]]
    unit: ClassVar[Literal["line", "page"]] = "line"

    def blocks(self, path: Path) -> list[Block]:
        """A document's blocks, parsed by a child process. Raises DataError for an invalid or too large file."""
        try:
            size = path.stat().st_size
        except (OSError, ValueError):  # reading the file reports it
            size = 0
        seconds = min(SECONDS + SECONDS_PER_MB * size // 1_000_000, MOST_SECONDS)
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


@cache
def kinds() -> dict[str, Kind]:
    """By suffix."""
    return {suffix: kind for kind in exported(__name__, "KINDS") for suffix in kind.suffixes}
