"""A grammar's text while it is read: errors with line and column, and limits of all grammar languages."""

from __future__ import annotations

import re
from typing import NoReturn

from tinsmith.constraint.automata.characters import Ranges
from tinsmith.constraint.automata.code_points import SURROGATES, utf8
from tinsmith.constraint.automata.dfa import CODE_POINTS, Dfa
from tinsmith.constraint.cursor import Cursor
from tinsmith.constraint.grammar import Expr, Machine
from tinsmith.errors import ConstraintError

MOST_TEXT = 1_000_000  # characters
MOST_NESTING = 50  # groups in groups, or operators on operators
MOST_TIMES = 1_000_000  # of a repetition


class Source(Cursor):
    """name: of the language, for errors."""

    def __init__(self, text: str, name: str) -> None:
        if not isinstance(text, str):
            raise ConstraintError(f"a {name} grammar is text, not {type(text).__name__}; give str")
        if len(text) > MOST_TEXT:
            raise ConstraintError(f"a {name} grammar has {len(text):,} characters; write at most {MOST_TEXT:,}")
        super().__init__(text)
        self.name = name

    def expect(self, expected: str, where: str) -> None:
        if not self.take(expected):
            self.fail(f"expected {expected!r} {where}, not {self.here()}")

    def here(self) -> str:
        return repr(self.peek()) if self.peek() else "the end of the grammar"

    def fail(self, what: str, at: int | None = None) -> NoReturn:
        raise ConstraintError(f"{self.name} {self.place(self.at if at is None else at)}: {what}")

    def place(self, at: int) -> str:
        """line:column, both from 1."""
        before = self.text[:at]
        return f"{before.count(chr(10)) + 1}:{at - before.rfind(chr(10))}"

    def number(self) -> int | None:
        """Decimal digits; None without any."""
        start, digits = self.at, self.match(re.compile("[0-9]+"))
        if digits and len(digits[0]) > 9:
            self.fail(f"a number of {len(digits[0])} digits; at most 9 are allowed", start)
        return int(digits[0]) if digits else None

    def hexadecimal(self, count: int) -> int:
        """The code point of exactly `count` digits."""
        digits = self.text[self.at : self.at + count]
        if len(digits) < count or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
            self.fail(f"expected {count} hexadecimal digits in the escape, not {digits!r}")
        self.at += count
        return self.character(int(digits, 16), self.at - count)

    def character(self, code: int, at: int) -> int:
        """Checks that UTF-8 can encode a code point."""
        if code > CODE_POINTS or SURROGATES[0] <= code <= SURROGATES[1]:
            self.fail(f"U+{code:04X} is no character; UTF-8 has U+0000 to U+D7FF and U+E000 to U+10FFFF", at)
        return code

    def bounds(self, least: int, most: int | None, at: int) -> tuple[int, int | None]:
        """Checks a repetition's bounds."""
        if max(least, most or 0) > MOST_TIMES:
            self.fail(f"{max(least, most or 0):,} repetitions; give at most {MOST_TIMES:,}", at)
        if most is not None and most < least:
            self.fail(f"at least {least} and at most {most} times; write the smaller number first", at)
        return least, most


def one_character(of: Ranges) -> Expr:
    return one_of(Dfa((tuple((low, high, 1) for low, high in of), ()), frozenset((1,) if of else ())))


def one_of(dfa: Dfa) -> Expr:
    """An automaton over code points as an expression of a grammar."""
    return Machine(utf8(dfa))
