"""The texts and numbers of a JSON text, each with its position."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass
from typing import Any, Protocol

Path = tuple[str, ...]

ITEM = "[]"  # a path's step into a list
_TOKEN = re.compile(r'("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d[\d.eE+-]*|true|false|null)|[{}\[\]]')


@dataclass(frozen=True)
class Leaf:
    """path: keys from the top. start, end: of the literal, in characters. place: indices in the lists on the
    path."""

    path: tuple[str, ...]
    value: Any
    start: int
    end: int
    place: tuple[int, ...] = ()


def leaves(text: str, *, literals: bool = False) -> list[Leaf]:
    """The leaves of valid JSON, in order. literals: include true, false and null."""
    result: list[Leaf] = []
    path: list[str] = []
    counts: list[int | None] = []  # elements of each open list so far, None for an object
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
    """Whether both are in the same element of every list on both paths."""
    shared = shared_lists(one.path, other.path)
    return one.place[:shared] == other.place[:shared]


def shared_lists(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """The number of lists on both paths."""
    alike = itertools.takewhile(lambda steps: steps[0] == steps[1], zip(one, other, strict=False))
    return sum(step == ITEM for step, _ in alike)


def lists_in(path: Path) -> list[Path]:
    """The paths of the list elements on a path, the innermost last."""
    return [path[: end + 1] for end, step in enumerate(path) if step == ITEM]


def replaced(text: str, values: dict[Leaf, str | int | float]) -> str:
    """The text with new values of some leaves, otherwise unchanged."""
    escapes = text.isascii() and "\\u" in text
    for leaf in sorted(values, key=lambda leaf: -leaf.start):
        literal = json.dumps(values[leaf], ensure_ascii=escapes)
        text = text[: leaf.start] + literal + text[leaf.end :]
    return text
