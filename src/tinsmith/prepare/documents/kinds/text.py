"""Plain text: paragraphs between empty lines, under headings that are underlined."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from tinsmith.errors import DataError
from tinsmith.prepare.documents.kinds import LARGEST, Block, Kind
from tinsmith.system import reading

_HASHES = re.compile(r"#{1,6}\s+(?=\S)(.+)", re.DOTALL)
_UNDERLINE = re.compile(r"([=~^\"*#+-])\1{2,}")
_FENCE = re.compile(r"\s*(```|~~~)")
_EMPTY = ("", ".")  # Debian's control files write an empty line as a dot


class Text(Kind):
    """hashes: whether lines that begin with # are headings."""

    suffixes: ClassVar[tuple[str, ...]] = (".txt", ".rst", ".text", "")
    hashes = False

    def parse(self, path: Path) -> Iterator[Block]:
        text = reading.read_text(path, DataError, most=LARGEST)
        if (at := text.find("\0")) >= 0:
            raise DataError(f"{path}:{text.count(chr(10), 0, at) + 1}: holds a NUL character; it is no text")
        yield from paragraphs(text.splitlines(), self.hashes)


def paragraphs(lines: list[str], hashes: bool) -> Iterator[Block]:
    heading, held, first, fence = "", list[str](), 0, ""
    for number, line in enumerate([*lines, ""], 1):
        title = _HASHES.fullmatch(line) if hashes and not fence else None
        bare = line.strip()
        is_underline = len(held) == 1 and not fence and _UNDERLINE.fullmatch(bare)
        if (mark := _FENCE.match(line)) and fence in ("", mark[1]):
            fence = "" if fence else mark[1]
        if title or is_underline or (bare in _EMPTY and not fence) or number > len(lines):
            if is_underline:
                heading = held[0].strip()
            elif held:
                yield Block("\n".join(held), first, heading)
            heading = _title(title[1]) if title else heading
            held = []
        elif held or not _UNDERLINE.fullmatch(bare):
            first = number if not held else first
            held.append(line.rstrip())


def _title(text: str) -> str:
    """Without the hashes that may close it."""
    return text.rstrip().rstrip("#").rstrip() or text.strip()


kind = Text()
