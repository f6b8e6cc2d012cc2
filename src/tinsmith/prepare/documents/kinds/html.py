"""HTML: the visible text under its headings, without scripts, styles, menus and footers."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from tinsmith.errors import DataError
from tinsmith.prepare.documents.kinds import LARGEST, Block, Kind
from tinsmith.system import markup, reading

_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6", "title")
_UNSEEN = ("script", "style", "template", "noscript", "svg", "nav", "footer", "select", "button")
# fmt: off
_APART = (
    "p", "div", "section", "article", "main", "header", "aside", "body", "blockquote", "pre", "li", "dt", "dd",
    "td", "th", "tr", "caption", "figcaption", "hr", "ul", "ol", "dl", "table", "form", "details", "summary",
)
# fmt: on
_DECLARED = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?([A-Za-z0-9_:.-]+)", re.IGNORECASE)
# Python's encodings that no page has; some take quadratic time.
_NO_PAGES = ("punycode", "idna", "unicode-escape", "raw-unicode-escape", "undefined")
_HEAD = 4096  # bytes in which a page declares its encoding


class Html(Kind):
    suffixes: ClassVar[tuple[str, ...]] = (".html", ".htm", ".xhtml")

    def parse(self, path: Path) -> Iterator[Block]:
        text, page = _text(path), _Page()
        line, counted = 1, 0
        for part in markup.parts(text):
            if isinstance(part, markup.Text):
                line, counted = line + text.count("\n", counted, part.at), part.at
                page.text(part.text, line)
            elif part.ends:
                page.close(part.name)
            else:
                page.open(part.name, part.is_empty)
        page.end()
        yield from page.made


KINDS = (Html(),)


def _text(path: Path) -> str:
    data = reading.read_bytes(path, DataError, most=LARGEST)
    match = _DECLARED.search(data[:_HEAD])
    name = match[1].decode() if match else "utf-8"
    try:
        found = codecs.lookup(name).name
        if found == "utf-8":
            return reading.text(data, path, DataError)
        if found.replace("_", "-") in _NO_PAGES:
            raise LookupError
        return data.decode(name)
    except LookupError:
        raise DataError(f"{path}: is in the encoding {name}, which is not known; save it as UTF-8") from None
    except UnicodeError:
        raise DataError(f"{path}: is not in the encoding {name} that it states; save it as UTF-8") from None


class _Page:
    """made: blocks so far. pieces: of the open block, which began on the line `first`. unseen: the open
    invisible elements. places: the index of the first of each name in `unseen`."""

    def __init__(self) -> None:
        self.made: list[Block] = []
        self.heading = ""
        self.pieces: list[str] = []
        self.first = 1
        self.open_heading = ""
        self.unseen: list[str] = []
        self.places: dict[str, int] = {}

    def open(self, tag: str, is_empty: bool) -> None:
        if tag in _UNSEEN:
            if not is_empty:
                self.places.setdefault(tag, len(self.unseen))
                self.unseen.append(tag)
        elif tag in _HEADINGS:
            self.end()
            self.open_heading = tag
        elif tag in _APART:
            self.end()
        elif tag == "br":
            self.pieces.append("\n")

    def close(self, tag: str) -> None:
        if tag in self.places:
            kept = self.places[tag]
            del self.unseen[kept:]
            self.places = {name: place for name, place in self.places.items() if place < kept}
        elif tag in _HEADINGS or tag in _APART:
            self.end()

    def text(self, text: str, line: int) -> None:
        if not self.unseen:
            if not self.pieces:
                self.first = line
            self.pieces.append(text)

    def end(self) -> None:
        """Ends a block or a heading."""
        lines = (" ".join(line.split()) for line in "".join(self.pieces).split("\n"))
        text = "\n".join(line for line in lines if line)
        if text and self.open_heading:
            self.heading = text.replace("\n", " ")
        elif text:
            self.made.append(Block(text, self.first, self.heading))
        self.pieces, self.open_heading = [], ""
