"""HTML: the text that a reader sees, under its headings; no scripts, styles, menus and footers."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import ClassVar

from tinsmith.errors import DataError
from tinsmith.prepare.documents.kinds import LARGEST, Block, Kind
from tinsmith.system import reading

_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6", "title")
_UNSEEN = ("script", "style", "template", "noscript", "svg", "nav", "footer", "select", "button")
# fmt: off
_APART = (
    "p", "div", "section", "article", "main", "header", "aside", "body", "blockquote", "pre", "li", "dt", "dd",
    "td", "th", "tr", "caption", "figcaption", "hr", "ul", "ol", "dl", "table", "form", "details", "summary",
)
# fmt: on
_DECLARED = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?([A-Za-z0-9_:.-]+)", re.IGNORECASE)
_HEAD = 4096  # bytes in which a page says how it is encoded


class Html(Kind):
    suffixes: ClassVar[tuple[str, ...]] = (".html", ".htm", ".xhtml")

    def blocks(self, path: Path) -> Iterator[Block]:
        page = _Page()
        try:
            page.feed(_text(path))
            page.close()
        except AssertionError as error:  # of a declaration that is none
            raise DataError(f"{path}:{page.getpos()[0]}: is not HTML: {error}") from None
        page.end()
        yield from page.made


def _text(path: Path) -> str:
    data = reading.read_bytes(path, DataError, most=LARGEST)
    match = _DECLARED.search(data[:_HEAD])
    name = match[1].decode() if match else "utf-8"
    try:
        if codecs.lookup(name).name == "utf-8":
            return reading.text(data, path, DataError)
        return data.decode(name)
    except LookupError:
        raise DataError(f"{path}: is in the encoding {name}, which is not known; save it as UTF-8") from None
    except UnicodeError:
        raise DataError(f"{path}: is not in the encoding {name} that it states; save it as UTF-8") from None


class _Page(HTMLParser):
    """made: its blocks so far; held: the open block's text, which began on the line `first`."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[Block] = []
        self.heading = ""
        self.held: list[str] = []
        self.first = 1
        self.open_heading = ""
        self.unseen: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in _UNSEEN:
            self.unseen.append(tag)
        elif tag in _HEADINGS:
            self.end()
            self.open_heading = tag
        elif tag in _APART:
            self.end()
        elif tag == "br":
            self.held.append("\n")

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        if tag not in _UNSEEN:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.unseen:
            del self.unseen[self.unseen.index(tag) :]
        elif tag in _HEADINGS or tag in _APART:
            self.end()

    def handle_data(self, data: str) -> None:
        if not self.unseen:
            if not self.held:
                self.first = self.getpos()[0]
            self.held.append(data)

    def end(self) -> None:
        """Of a block or a heading."""
        lines = (" ".join(line.split()) for line in "".join(self.held).split("\n"))
        text = "\n".join(line for line in lines if line)
        if text and self.open_heading:
            self.heading = text.replace("\n", " ")
        elif text:
            self.made.append(Block(text, self.first, self.heading))
        self.held, self.open_heading = [], ""


kind = Html()
