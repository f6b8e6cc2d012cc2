"""Sets of code points as ascending ranges: the classes of regular expressions."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import cache, lru_cache

from tinsmith.constraint.automata.dfa import CODE_POINTS

Ranges = tuple[tuple[int, int], ...]

ANY: Ranges = ((0, CODE_POINTS),)
DIGIT: Ranges = ((0x30, 0x39),)
WORD: Ranges = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
# White space in both ECMA-262 and Python, and in one of them.
SPACE: Ranges = (
    (0x09, 0x0D),
    (0x20, 0x20),
    (0xA0, 0xA0),
    (0x1680, 0x1680),
    (0x2000, 0x200A),
    (0x2028, 0x2029),
    (0x202F, 0x202F),
    (0x205F, 0x205F),
    (0x3000, 0x3000),
)
SPACE_SOMEWHERE = ((0x1C, 0x1F), (0x85, 0x85), (0xFEFF, 0xFEFF))

WHOLE = {"Any": ANY, "ASCII": ((0, 0x7F),)}


def ranges(pairs: Iterable[tuple[int, int]]) -> Ranges:
    """Ascending, disjoint, neighbours joined."""
    out: list[tuple[int, int]] = []
    for low, high in sorted(pairs):
        if out and low <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(out[-1][1], high))
        else:
            out.append((low, high))
    return tuple(out)


def negated(of: Ranges) -> Ranges:
    out, at = [], 0
    for low, high in of:
        if at < low:
            out.append((at, low - 1))
        at = high + 1
    if at <= CODE_POINTS:
        out.append((at, CODE_POINTS))
    return tuple(out)


@cache
def _runs() -> dict[str, list[tuple[int, int]]]:
    """The code points of every two-letter category."""
    runs: dict[str, list[tuple[int, int]]] = {}
    before, first = "Cc", 0
    # Planes 4 to 13 have no characters, 15 and 16 are for private use.
    for code in [*range(0x40000), 0x40000, *range(0xE0000, 0xF0001), 0xFFFFE, 0x100000, 0x10FFFE, 0x110000]:
        category = unicodedata.category(chr(code)) if code <= CODE_POINTS else ""
        if category != before:
            runs.setdefault(before, []).append((first, code - 1))
            before, first = category, code
    return runs


@cache
def category(name: str) -> Ranges | None:
    """A category by its short name, such as `L` or `Lu`; None if unknown."""
    if name in WHOLE:
        return WHOLE[name]
    names = [one for one in _runs() if name in (one, one[0])]
    return ranges(pair for one in names for pair in _runs()[one]) or None


@cache
def letter_class(letter: str, wide: bool) -> Ranges:
    """\\d, \\w, \\s and their opposites.

    Validators read a pattern as ECMA-262 (ASCII) or as Python (Unicode). wide: members for either of them; else
    for both.
    """
    if letter.isupper():
        return negated(letter_class(letter.lower(), not wide))
    if letter == "s":
        return ranges(SPACE + SPACE_SOMEWHERE) if wide else SPACE
    narrow, names = (DIGIT, ("Nd",)) if letter == "d" else (WORD, ("L", "N", "M", "Pc"))
    return ranges(pair for name in names for pair in category(name) or ()) if wide else narrow


def dot(wide: bool) -> Ranges:
    """All characters except line ends, of which ECMA-262 has more than Python."""
    return negated(((0x0A, 0x0A),) if wide else ((0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029)))


@cache
def _cases() -> dict[int, tuple[int, ...]]:
    """Every cased character, and all that differ from it only by case."""
    groups: dict[str, set[int]] = {}
    for code in range(0x20000):
        character = chr(code)
        lower, upper = character.lower(), character.upper()
        if lower != character or upper != character:
            folded = upper.lower() if len(upper) == 1 else lower
            if len(folded) == 1:
                groups.setdefault(folded, set()).update((code, ord(folded)))
    return {code: tuple(group) for group in groups.values() for code in group if len(group) > 1}


@lru_cache(maxsize=256)
def any_case(of: Ranges) -> Ranges:
    """Adds characters that differ only by case (simple folding)."""
    others = (group for code, group in _cases().items() if any(low <= code <= high for low, high in of))
    return ranges([*of, *((one, one) for group in others for one in group)])
