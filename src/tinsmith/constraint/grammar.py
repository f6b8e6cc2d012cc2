"""Grammars: what front ends (JSON Schema, tools, patterns, GBNF, Lark) make, and automata are built of.

A grammar speaks of bytes. A control token of the vocabulary, which is no text, is written as the four bytes
that `token` gives: 0xFF never occurs in UTF-8.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tinsmith.constraint.automata.dfa import Dfa

# eq=False: an expression is compared by identity, since trees are large and often shared.


class Expr:
    """One of the classes below. Expressions are never changed, so parts may be shared."""


@dataclass(frozen=True, eq=False)
class Literal(Expr):
    """These bytes; empty: the empty text."""

    data: bytes


@dataclass(frozen=True, eq=False)
class Sequence(Expr):
    parts: tuple[Expr, ...]


@dataclass(frozen=True, eq=False)
class Choice(Expr):
    """One of the parts; without parts: nothing at all, not even the empty text."""

    parts: tuple[Expr, ...]


@dataclass(frozen=True, eq=False)
class Repeat(Expr):
    """part, `least` to `most` times; most None: without end."""

    part: Expr
    least: int = 0
    most: int | None = None


@dataclass(frozen=True, eq=False)
class Ref(Expr):
    """What a rule of the grammar says; the only way to recursion. A rule that is referred to from several
    places has its states once, and so its masks at run time."""

    name: str


@dataclass(frozen=True, eq=False)
class Machine(Expr):
    """What an automaton over bytes accepts."""

    dfa: Dfa


@dataclass
class Grammar:
    """rules: by name; start: the rule of the whole text."""

    rules: dict[str, Expr] = field(default_factory=dict)
    start: str = "start"


EMPTY = Literal(b"")
NOTHING = Choice(())


def text(value: str) -> Literal:
    return Literal(value.encode("utf-8", "surrogatepass"))


def sequence(parts: Iterable[Expr]) -> Expr:
    """The parts in order; flat, literals joined."""
    flat: list[Expr] = []
    for part in parts:
        for piece in part.parts if isinstance(part, Sequence) else (part,):
            if isinstance(piece, Choice) and not piece.parts:
                return NOTHING
            if isinstance(piece, Literal) and flat and isinstance(flat[-1], Literal):
                flat[-1] = Literal(flat[-1].data + piece.data)
            elif not (isinstance(piece, Literal) and not piece.data):
                flat.append(piece)
    return flat[0] if len(flat) == 1 else Sequence(tuple(flat)) if flat else EMPTY


def choice(parts: Iterable[Expr]) -> Expr:
    flat: list[Expr] = []
    for part in parts:
        flat += part.parts if isinstance(part, Choice) else (part,)
    return flat[0] if len(flat) == 1 else Choice(tuple(flat))


def optional(part: Expr) -> Expr:
    return Choice((EMPTY, part))


def token(number: int) -> Literal:
    """A control token of the vocabulary, by its id."""
    return Literal(b"\xff" + number.to_bytes(3, "big"))
