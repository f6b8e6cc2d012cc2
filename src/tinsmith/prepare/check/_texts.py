"""Texts: comparing them and quoting them in messages."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

from tinsmith.data.readers import Example

_QUOTED = 60  # characters, at most
_EDGES = ".,;:!?…\"'`()[]{}“”‘’«»¿¡"
# Words of courtesy in some languages, which don't change a request.
# fmt: off
FILLERS = frozenset((
    "please", "pls", "kindly", "hey", "hi", "hello", "ok", "okay", "thanks", "thx", "just", "um", "uh", "well",
    "bitte", "hallo", "danke", "merci", "svp", "bonjour", "hola", "gracias", "ciao", "grazie",
))
# fmt: on


def fold(text: str) -> str:
    """Without case, spacing and the punctuation around words; signs with a meaning (+, -, %, #) stay."""
    words = unicodedata.normalize("NFKC", text).casefold().split()
    return " ".join(word for word in (one.strip(_EDGES) for one in words) if word) or text.strip()


def quoted(text: str) -> str:
    """In quotes, on one line, shortened."""
    line = " ".join(text.split())
    return f'"{line if len(line) <= _QUOTED else line[: _QUOTED - 1] + "…"}"'


def quoted_input(example: Example) -> str:
    """The input, or else the images."""
    return quoted(example.input or ", ".join(image.name for image in example.images))


def changed(example: Example, name: str, text: str) -> Example:
    """With another input or output."""
    return replace(example, input=text) if name == "input" else replace(example, output=text)
