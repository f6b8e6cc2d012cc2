"""The text of a grammar while it is read: where in it something is wrong, and what its front ends bound."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from tinsmith.constraint.automata.characters import Ranges
from tinsmith.constraint.automata.code_points import SURROGATES, utf8
from tinsmith.constraint.automata.dfa import CODE_POINTS, Dfa
from tinsmith.constraint.grammar import Expr, Machine
from tinsmith.errors import ConstraintError

# The id of a control token, named as the grammar names it, `<|im_end|>` or `<[151645]>`; None where the
# vocabulary has no such control token.
Tokens = Callable[[str], int | None]

MOST_TEXT = 1_000_000  # characters
MOST_NESTING = 50  # groups in groups, or operators on operators
MOST_TIMES = 1_000_000  # of a repetition
MOST_TOKEN = (1 << 24) - 1


class Source:
    """`at`: the next character that is read."""

    def __init__(self, text: str, name: str) -> None:
        if not isinstance(text, str):
            raise ConstraintError(f"a {name} grammar is text, not {type(text).__name__}; give str")
        if len(text) > MOST_TEXT:
            raise ConstraintError(f"a {name} grammar has {len(text):,} characters; write at most {MOST_TEXT:,}")
        self.text = text
        self.name = name
        self.at = 0

    def peek(self) -> str:
        """The next character; "" at the end."""
        return self.text[self.at : self.at + 1]

    def take(self, expected: str) -> bool:
        if not self.text.startswith(expected, self.at):
            return False
        self.at += len(expected)
        return True

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
        """Decimal digits; None where there are none."""
        start = self.at
        while "0" <= self.peek() <= "9":
            self.at += 1
        if self.at - start > 9:
            self.fail(f"a number of {self.at - start} digits; at most 9 are read", start)
        return int(self.text[start : self.at]) if self.at > start else None

    def hexadecimal(self, count: int) -> int:
        """The code of exactly `count` digits, of a character that UTF-8 can write."""
        digits = self.text[self.at : self.at + count]
        if len(digits) < count or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
            self.fail(f"expected {count} hexadecimal digits in the escape, not {digits!r}")
        self.at += count
        return self.character(int(digits, 16), self.at - count)

    def character(self, code: int, at: int) -> int:
        """A code point, if UTF-8 can write it."""
        if code > CODE_POINTS or SURROGATES[0] <= code <= SURROGATES[1]:
            self.fail(f"U+{code:04X} is no character; UTF-8 has U+0000 to U+D7FF and U+E000 to U+10FFFF", at)
        return code

    def bounds(self, least: int, most: int | None, at: int) -> tuple[int, int | None]:
        """A repetition's, checked."""
        if max(least, most or 0) > MOST_TIMES:
            self.fail(f"{max(least, most or 0):,} repetitions; at most {MOST_TIMES:,} can be asked for", at)
        if most is not None and most < least:
            self.fail(f"at least {least} and at most {most} times; write the smaller number first", at)
        return least, most

    def token(self, written: str, tokens: Tokens | None, at: int) -> int:
        """The id of a control token that the grammar writes as `<name>` or `<[id]>`."""
        number = tokens(written) if tokens is not None else None
        if tokens is None and written.startswith("<["):
            digits = written[2:-2]
            number = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else None
            if number is None or number > MOST_TOKEN:
                self.fail(f"{written} is no token; write the id of a control token, such as <[5]>", at)
        if number is None and tokens is None:
            self.fail(f"the token {written} needs a model's vocabulary; write its id, such as <[5]>", at)
        if number is None:
            self.fail(f"the vocabulary has no control token {written}; write text in quotes", at)
        return number


def one_character(of: Ranges) -> Expr:
    return one_of(Dfa((tuple((low, high, 1) for low, high in of), ()), frozenset((1,) if of else ())))


def one_of(dfa: Dfa) -> Expr:
    """An automaton over code points as a part of a grammar."""
    return Machine(utf8(dfa))
