"""The texts and numbers that a JSON text is made of, each with the place where it is written."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass
from typing import Any, Protocol

ITEM = "[]"  # the path's step into a list
_TOKEN = re.compile(r'("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d[\d.eE+-]*|true|false|null)|[{}\[\]]')


@dataclass(frozen=True)
class Leaf:
    """path: the keys that lead to it; start, end: of its literal, in characters; place: the indices in the
    lists that lead to it. value: where they are asked for, of true, false and null too."""

    path: tuple[str, ...]
    value: Any
    start: int
    end: int
    place: tuple[int, ...] = ()


def leaves(text: str, *, literals: bool = False) -> list[Leaf]:
    """Those of a text that is valid JSON, in order; literals: true, false and null among them."""
    result: list[Leaf] = []
    path: list[str] = []
    counts: list[int | None] = []  # of each list's elements so far, None for an object
    for token in _TOKEN.finditer(text):
        string, is_key, other = token.groups()
        if not is_key and token[0] not in "}]" and counts and counts[-1] is not None:
            counts[-1] += 1
        if is_key:
            path[-1] = json.loads(string)
        elif string or other:
            value = json.loads(string or other)
            if literals or not (value is None or isinstance(value, bool)):
                place = tuple(count - 1 for count in counts if count is not None)
                result.append(Leaf(tuple(path), value, *token.span(1 if string else 3), place))
        elif token[0] in "{[":
            path.append(ITEM)
            counts.append(0 if token[0] == "[" else None)
        else:
            path.pop()
            counts.pop()
    return result


class Placed(Protocol):
    @property
    def path(self) -> tuple[str, ...]: ...
    @property
    def place(self) -> tuple[int, ...]: ...


def beside(one: Placed, other: Placed) -> bool:
    """Whether they are in the same element of every list that both are in."""
    shared = shared_lists(one.path, other.path)
    return one.place[:shared] == other.place[:shared]


def shared_lists(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """How many lists two paths have in common."""
    alike = itertools.takewhile(lambda steps: steps[0] == steps[1], zip(one, other, strict=False))
    return sum(step == ITEM for step, _ in alike)


def replaced(text: str, values: dict[Leaf, str | int | float]) -> str:
    """The text with other values in place of some of its leaves, and all else as it is written."""
    escapes = text.isascii() and "\\u" in text
    for leaf in sorted(values, key=lambda leaf: -leaf.start):
        literal = json.dumps(values[leaf], ensure_ascii=escapes)
        text = text[: leaf.start] + literal + text[leaf.end :]
    return text
