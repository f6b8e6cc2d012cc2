"""The texts and numbers that a JSON text is made of, each with the place where it is written."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

ITEM = "[]"  # the path's step into a list
_TOKEN = re.compile(r'("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d[\d.eE+-]*)|[{}\[\]]')


@dataclass(frozen=True)
class Leaf:
    """path: the keys that lead to it; start, end: of its literal, in characters."""

    path: tuple[str, ...]
    value: str | int | float
    start: int
    end: int


def leaves(text: str) -> list[Leaf]:
    """Those of a text that is valid JSON, in order; true, false and null are none."""
    result: list[Leaf] = []
    path: list[str] = []
    for token in _TOKEN.finditer(text):
        string, is_key, number = token.groups()
        if is_key:
            path[-1] = json.loads(string)
        elif string or number:
            result.append(Leaf(tuple(path), json.loads(string or number), *token.span(1 if string else 3)))
        elif token[0] in "{[":
            path.append(ITEM)
        else:
            path.pop()
    return result


def replaced(text: str, values: dict[Leaf, str | int | float]) -> str:
    """The text with other values in place of some of its leaves, and all else as it is written."""
    escapes = text.isascii() and "\\u" in text
    for leaf in sorted(values, key=lambda leaf: -leaf.start):
        literal = json.dumps(values[leaf], ensure_ascii=escapes)
        text = text[: leaf.start] + literal + text[leaf.end :]
    return text
