"""HTML as a stream of texts and tags, in linear time for any input.

Python's html.parser takes quadratic time for unclosed tags, comments and quotes. Here, as in browsers, they
extend to the end of the page, so that nothing is read twice (html.spec.whatwg.org, 13.2.5).
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass

_MARKUP = re.compile(r"<(?:!--|!\[CDATA\[|[!?]|/?[A-Za-z][^\s/>]*|/)")
_VALUE = r"""(?:"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z)|[^\s>"'][^\s>]*+)"""
_REST = re.compile(rf"(?:[^>=]++|=\s*+{_VALUE}?+)*+>")  # of a tag, after its name
_ATTRIBUTE = re.compile(rf"([^\s/>=]++)\s*+(?:=\s*+({_VALUE}))?+")
# Elements with text content only; those of the first kind don't even have character references.
_RAW = ("script", "style", "xmp", "iframe", "noembed", "noframes")
_TEXT = ("title", "textarea")
_NUMBERED = re.compile(r"&#(?:0*+[0-9]{8,}|[xX]0*+[0-9A-Fa-f]{7,});?")  # beyond the last character


@dataclass(frozen=True)
class Text:
    """at: its start in the page."""

    text: str
    at: int


@dataclass(frozen=True)
class Tag:
    """name: in lower case. rest: the text after it, with the attributes. ends: it is </name>."""

    name: str
    rest: str
    ends: bool

    @property
    def is_empty(self) -> bool:
        """<name/>."""
        return self.rest.endswith("/")

    @property
    def attributes(self) -> dict[str, str]:
        found = reversed(list(_ATTRIBUTE.finditer(self.rest)))  # of duplicates, the first counts
        return {one[1].lower(): unescape(_unquoted(one[2] or "")) for one in found}


def parts(page: str) -> Iterator[Text | Tag]:
    at, raw = 0, ""
    while at < len(page):
        # Within an element with text content, only its own end is markup.
        markup = re.compile(rf"</{raw}(?=[\s/>])", re.IGNORECASE) if raw else _MARKUP
        close = markup.search(page, at)
        start = close.start() if close else len(page)
        if start > at:
            text = page[at:start]
            yield Text(text if raw in _RAW else unescape(text), at)
        if close is None:
            return
        raw, opening = "", close[0]
        if opening in ("<!--", "<![CDATA[", "<!", "<?", "</"):
            ending = {"<!--": "-->", "<![CDATA[": "]]>"}.get(opening, ">")
            end = page.find(ending, start + 2)
            at = end + len(ending) if end >= 0 else len(page)
            continue
        rest = _REST.match(page, close.end())
        if rest is None:
            return
        at = rest.end()
        tag = Tag(opening.strip("</").lower(), page[close.end() : at - 1], opening[1] == "/")
        if not tag.ends and not tag.is_empty and tag.name in (*_RAW, *_TEXT):
            raw = tag.name
        yield tag


def _unquoted(value: str) -> str:
    return value[1:].removesuffix(value[0]) if value[:1] in ('"', "'") and value else value


def unescape(text: str) -> str:
    """Replaces character references such as &amp; and &#65;."""
    return html.unescape(_NUMBERED.sub("\ufffd", text)) if "&" in text else text
