"""When two texts are the same, or nearly."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

from tinsmith.data.readers import Example

_EDGES = ".,;:!?…\"'`()[]{}“”‘’«»¿¡"
# Words of courtesy in some languages: a request with one and without it asks for the same.
# fmt: off
FILLERS = frozenset((
    "please", "pls", "kindly", "hey", "hi", "hello", "ok", "okay", "thanks", "thx", "just", "um", "uh", "well",
    "bitte", "hallo", "danke", "merci", "svp", "bonjour", "hola", "gracias", "ciao", "grazie",
))
# fmt: on


def fold(text: str) -> str:
    """Without case, spacing and the punctuation around words; signs that carry meaning (+, -, %, #) stay."""
    words = unicodedata.normalize("NFKC", text).casefold().split()
    return " ".join(word for word in (one.strip(_EDGES) for one in words) if word) or text.strip()


def quoted(text: str, most: int = 60) -> str:
    """For a message: one line, not too long, in quotes."""
    line = " ".join(text.split())
    return f'"{line if len(line) <= most else line[: most - 1] + "…"}"'


def asked(example: Example) -> str:
    """What asks, for a message: the input, or where there is none its images."""
    return quoted(example.input or ", ".join(image.name for image in example.images))


def changed(example: Example, name: str, text: str) -> Example:
    """With another text for its input or output."""
    return replace(example, input=text) if name == "input" else replace(example, output=text)
