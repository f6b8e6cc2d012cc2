"""Plain text: paragraphs between empty lines, under headings that are underlined; and Markdown: the same under
# headings, without the marks of links, images and HTML."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from tinsmith.errors import DataError
from tinsmith.prepare.documents.kinds import LARGEST, Block, Kind
from tinsmith.system import reading

_HASHES = re.compile(r"#{1,6}\s+(?=\S)(.+)", re.DOTALL)
_UNDERLINE = re.compile(r"([=~^\"*#+-])\1{2,}")
_FENCE = re.compile(r"\s*(```|~~~)")
_EMPTY = ("", ".")  # a dot is an empty line in Debian's control files
_REFERENCE = re.compile(r"^[^\S\n]*\[[^\]\n]+\]:[^\S\n]+\S.*$", re.MULTILINE)  # what links refer to
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_BRACKET = re.compile(r"!?\[|\]")
_STRONG = re.compile(r"(\*\*|__)")


class Text(Kind):
    """hashes: whether # begins a heading."""

    suffixes: ClassVar[tuple[str, ...]] = (".txt", ".rst", ".text", "")
    hashes = False

    def parse(self, path: Path) -> Iterator[Block]:
        text = reading.read_text(path, DataError, most=LARGEST)
        if (at := text.find("\0")) >= 0:
            raise DataError(f"{path}:{text.count(chr(10), 0, at) + 1}: holds a NUL character; it is no text")
        yield from paragraphs(text.splitlines(), self.hashes)


class Markdown(Text):
    suffixes: ClassVar[tuple[str, ...]] = (".md", ".markdown")
    hashes = True

    def parse(self, path: Path) -> Iterator[Block]:
        for block in super().parse(path):
            made = replace(block, text=plain(block.text), heading=plain(block.heading))
            if made.text.strip():
                yield made


KINDS = (Text(), Markdown())


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


def plain(text: str) -> str:
    """The text without marks, in linear time, even with unclosed marks."""
    if _FENCE.match(text):
        return text
    text = _REFERENCE.sub("", _without_links(_without_comments(text)))
    return "\n".join(map(_without_strong, _TAG.sub("", text).split("\n")))


def _without_comments(text: str) -> str:
    kept, at = list[str](), 0
    while (start := text.find("<!--", at)) >= 0 and (end := text.find("-->", start + 4)) >= 0:
        kept.append(text[at:start])
        at = end + 3
    return "".join([*kept, text[at:]])


def _without_links(text: str) -> str:
    """Links become their texts; images are removed."""
    kept: list[str] = []  # pieces of the result
    opened: list[int] = []  # indices of open brackets in `kept`
    at, line_end, missing = 0, -1, set[str]()  # missing: closing brackets that the rest of the line lacks
    while match := _BRACKET.search(text, at):
        kept.append(text[at : match.start()])
        at = match.end()
        kept.append(match[0])
        if match[0] != "]":
            opened.append(len(kept) - 1)
        elif opened:
            start = opened.pop()
            if at > line_end:
                newline = text.find("\n", at)
                line_end = newline if newline >= 0 else len(text)
                missing.clear()
            closing = {"(": ")", "[": "]"}.get(text[at : at + 1])
            if closing is None or closing in missing:
                continue
            if (end := text.find(closing, at, line_end)) < 0:
                missing.add(closing)
                continue
            at = end + 1
            if kept[start] == "![":
                del kept[start:]
            else:
                kept[start] = kept[-1] = ""
    return "".join([*kept, text[at:]])


def _without_strong(line: str) -> str:
    """Without the pairs of ** and __ around words."""
    pieces = _STRONG.split(line)
    opened: dict[str, int] = {}
    for at in range(1, len(pieces), 2):
        mark, before, after = pieces[at], pieces[at - 1], pieces[at + 1]
        if mark in opened and (before or at > opened[mark] + 2) and not before[-1:].isspace():
            pieces[at] = pieces[opened.pop(mark)] = ""
        elif not after[:1].isspace() and (after or at + 2 < len(pieces)):
            opened.setdefault(mark, at)
    return "".join(pieces)
