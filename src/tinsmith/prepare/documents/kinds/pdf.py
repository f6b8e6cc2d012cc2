"""PDF, by pypdf: the text of each page, in paragraphs where lines end early."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from tinsmith.errors import DataError, MissingExtraError
from tinsmith.prepare.documents.kinds import LARGEST, Block, Kind
from tinsmith.system import reading

EXTRA = "pdf"
_EARLY = 0.75  # of a page's longest line; a shorter line with a sentence's end also ends the paragraph


class Pdf(Kind):
    suffixes: ClassVar[tuple[str, ...]] = (".pdf",)
    unit = "page"

    def parse(self, path: Path) -> Iterator[Block]:
        try:
            import pypdf
        except ImportError:
            raise MissingExtraError("pypdf", EXTRA) from None
        logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it warns about every oddity
        data = reading.read_bytes(path, DataError, most=LARGEST)
        try:
            file = pypdf.PdfReader(io.BytesIO(data))
            is_closed = file.is_encrypted and not file.decrypt("")
            pages = [] if is_closed else [(n, _text(page)) for n, page in enumerate(file.pages, 1)]
        except MemoryError:
            raise
        except Exception as error:  # a damaged file may raise anything
            reason = " ".join(str(error).split())[:100] or type(error).__name__
            raise DataError(f"{path}: is a damaged PDF: {reason}") from None
        if is_closed:
            raise DataError(f"{path}: is encrypted; save it without a password")
        if not any(text.strip() for _, text in pages):
            raise DataError(f"{path}: holds no text, images of pages perhaps; recognize the text first (OCR)")
        for number, text in pages:
            yield from (Block(one, number) for one in _paragraphs(text))


KINDS = (Pdf(),)


def _text(page: Any) -> str:
    text: str = page.extract_text()
    return text.encode("utf-8", "replace").decode("utf-8")  # without lone surrogates


def _paragraphs(text: str) -> Iterator[str]:
    lines = [" ".join(line.split()) for line in text.splitlines()]
    widest = max(map(len, lines), default=0)
    paragraph: list[str] = []
    for line in [*lines, ""]:
        if line:
            paragraph.append(line)
        ends = not line or (line[-1] in ".!?:" and len(line) < _EARLY * widest)
        if ends and paragraph:
            yield re.sub(r"(?<=[a-z])-\n(?=[a-z])", "", "\n".join(paragraph))  # without hyphenation
            paragraph = []
