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
_EMPTY = ("", ".")  # a dot is an empty line in Debian's control files


class Text(Kind):
    """hashes: whether # begins a heading."""

    suffixes: ClassVar[tuple[str, ...]] = (".txt", ".rst", ".text", "")
    hashes = False

    def parse(self, path: Path) -> Iterator[Block]:
        text = reading.read_text(path, DataError, most=LARGEST)
        if (at := text.find("\0")) >= 0:
            raise DataError(f"{path}:{text.count(chr(10), 0, at) + 1}: holds a NUL character; it is no text")
        yield from paragraphs(text.splitlines(), self.hashes)


KINDS = (Text(),)


def paragraphs(lines: list[str], hashes: bool) -> Iterator[Block]:
    heading, paragraph, first, fence = "", list[str](), 0, ""
    for number, line in enumerate([*lines, ""], 1):
        title = _HASHES.fullmatch(line) if hashes and not fence else None
        bare = line.strip()
        is_underline = len(paragraph) == 1 and not fence and _UNDERLINE.fullmatch(bare)
        if (mark := _FENCE.match(line)) and fence in ("", mark[1]):
            fence = "" if fence else mark[1]
        if title or is_underline or (bare in _EMPTY and not fence) or number > len(lines):
            if is_underline:
                heading = paragraph[0].strip()
            elif paragraph:
                yield Block("\n".join(paragraph), first, heading)
            heading = _title(title[1]) if title else heading
            paragraph = []
        elif paragraph or not _UNDERLINE.fullmatch(bare):
            first = number if not paragraph else first
            paragraph.append(line.rstrip())


def _title(text: str) -> str:
    """Without closing hashes."""
    return text.rstrip().rstrip("#").rstrip() or text.strip()
