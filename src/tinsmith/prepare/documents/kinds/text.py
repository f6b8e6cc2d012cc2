"""Plain text: paragraphs between empty lines, under headings that are underlined."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from tinsmith.errors import DataError
from tinsmith.prepare.documents.kinds import LARGEST, Block, Kind
from tinsmith.system import reading

_HASHES = re.compile(r"#{1,6}\s+(.+?)\s*#*")
_UNDERLINE = re.compile(r"([=~^\"*#+-])\1{2,}")
_FENCE = re.compile(r"\s*(```|~~~)")
_EMPTY = re.compile(r"\s*\.?\s*")  # Debian's control files write an empty line as a dot


class Text(Kind):
    """hashes: whether lines that begin with # are headings."""

    suffixes: ClassVar[tuple[str, ...]] = (".txt", ".rst", ".text", "")
    hashes = False

    def blocks(self, path: Path) -> Iterator[Block]:
        text = reading.read_text(path, DataError, most=LARGEST)
        if (at := text.find("\0")) >= 0:
            raise DataError(f"{path}:{text.count(chr(10), 0, at) + 1}: holds a NUL character; it is no text")
        yield from paragraphs(text.splitlines(), self.hashes)


def paragraphs(lines: list[str], hashes: bool) -> Iterator[Block]:
    heading, held, first, fence = "", list[str](), 0, ""
    for number, line in enumerate([*lines, ""], 1):
        title = _HASHES.fullmatch(line) if hashes and not fence else None
        is_underline = len(held) == 1 and not fence and _UNDERLINE.fullmatch(line.strip())
        if (mark := _FENCE.match(line)) and fence in ("", mark[1]):
            fence = "" if fence else mark[1]
        if title or is_underline or (_EMPTY.fullmatch(line) and not fence) or number > len(lines):
            if is_underline:
                heading = held[0].strip()
            elif held:
                yield Block("\n".join(held), first, heading)
            heading = title[1] if title else heading
            held = []
        elif not (_UNDERLINE.fullmatch(line.strip()) and not held):
            first = number if not held else first
            held.append(line.rstrip())


kind = Text()
