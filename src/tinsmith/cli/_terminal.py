"""What a terminal is shown of texts that others wrote: a model's answers, a file's facts."""

from __future__ import annotations

import re
import sys
from typing import TextIO

# Control characters but the line's end and the tab, what turns the direction of text, and halves of surrogates.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def escaped(text: str, line: bool = False) -> str:
    """Characters that would command a terminal are written as escapes, as \\x1b is. line: and whatever
    else is not printable, so that the text stays on its line."""
    if line:
        return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
    return _CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)


def shown(text: str, stream: TextIO | None = None) -> str:
    """The text as it is, but escaped for a terminal. stream: where it goes; None: stdout."""
    return escaped(text) if (stream or sys.stdout).isatty() else text
