"""What a terminal is shown of texts that others wrote: a model's answers, a file's facts."""

from __future__ import annotations

import re
import sys
from typing import TextIO

from tinsmith.errors import one_line

# Control characters but the line's end and the tab, what turns the direction of text, and halves of surrogates.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def shown(text: str, stream: TextIO | None = None) -> str:
    """The text as it is, but for a terminal with escapes, as \\x1b is, for characters that would command it.
    stream: where it goes; None: stdout."""
    return _CONTROL.sub(lambda match: one_line(match[0]), text) if (stream or sys.stdout).isatty() else text
