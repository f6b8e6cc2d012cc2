"""Markdown: plain text whose headings begin with # too, without the marks of links, pictures and HTML."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from tinsmith.prepare.documents.kinds import Block
from tinsmith.prepare.documents.kinds.text import Text

_CODE = re.compile(r"\s*(```|~~~)")
_MARKS = (
    (re.compile(r"<!--.*?-->", re.DOTALL), ""),
    (re.compile(r"!\[[^\]]*\](?:\([^)]*\)|\[[^\]]*\])"), ""),  # pictures
    (re.compile(r"\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])"), r"\1"),  # links
    (re.compile(r"^\s*\[[^\]]+\]:\s+\S+.*$", re.MULTILINE), ""),  # what links refer to
    (re.compile(r"</?[A-Za-z][^<>]*>"), ""),
    (re.compile(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1"), r"\2"),
)


class Markdown(Text):
    suffixes: ClassVar[tuple[str, ...]] = (".md", ".markdown")
    hashes = True

    def blocks(self, path: Path) -> Iterator[Block]:
        for block in super().blocks(path):
            made = replace(block, text=plain(block.text), heading=plain(block.heading))
            if made.text.strip():
                yield made


def plain(text: str) -> str:
    if _CODE.match(text):
        return text
    for mark, instead in _MARKS:
        text = mark.sub(instead, text)
    return text


kind = Markdown()
