"""Text on a terminal: escapes in a model's answers and a file's facts, and tables."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Sequence
from typing import TextIO

from tinsmith.errors import one_line

# Control characters but the line's end and the tab, what turns the direction of text, and halves of surrogates.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def shown(text: str, stream: TextIO | None = None) -> str:
    """The text as it is, but for a terminal with escapes, as \\x1b is, for characters that would command it.
    stream: where it goes; None: stdout."""
    return _CONTROL.sub(lambda match: one_line(match[0]), text) if (stream or sys.stdout).isatty() else text


def mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


def table(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> str:
    """right: the columns that are aligned right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            cell.rjust(width) if k in right else cell.ljust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)
