"""JSON as text: strings and whole values as expressions, and the rules that all schemas share.

Only characters that JSON requires to be escaped are, in json.dumps' form (`\\n`, `\\u001f`); those beyond ASCII
may also be written as \\uXXXX. `\\/` and `\\u0041` are JSON too, but would only add spellings of the same
value."""

from __future__ import annotations

import json
from functools import cache, lru_cache
from typing import Any, NamedTuple

from tinsmith.constraint import Spacing as Spacing
from tinsmith.constraint.automata import numbers
from tinsmith.constraint.automata.code_points import json_content
from tinsmith.constraint.automata.dfa import CODE_POINTS, Dfa, Edge, anything
from tinsmith.constraint.grammar import (
    EMPTY,
    NOTHING,
    Choice,
    Expr,
    Grammar,
    Machine,
    Ref,
    Repeat,
    choice,
    optional,
    sequence,
    text,
)
from tinsmith.errors import ConstraintError

# Names of shared rules. No front end's own rules have a point in their names.
STRING, CHARACTER, INTEGER, NUMBER = "json.string", "json.character", "json.integer", "json.number"
SPACE = "json.space"

MOST_SPACE = 20
MOST_LENGTH = 20_000  # of a string with a pattern or a format: every character costs states

QUOTE = text('"')


class Marks(NamedTuple):
    """Separators of arrays and objects; pad: inside the brackets."""

    item: Expr
    key: Expr
    pad: Expr


@cache
def marks(spacing: Spacing) -> Marks:
    if spacing == "free":
        space = Ref(SPACE)
        return Marks(sequence((space, text(","), space)), sequence((space, text(":"), space)), space)
    gap = " " if spacing == "spaced" else ""
    return Marks(text("," + gap), text(":" + gap), EMPTY)


def value_rule(spacing: Spacing = "compact") -> str:
    """The rule of any JSON value."""
    return f"json.value.{spacing}"


def rules(grammar: Grammar, spacing: Spacing = "compact") -> None:
    """Adds the shared rules, with the same expressions in every grammar."""
    grammar.rules |= _shared() | _values(spacing)


@cache
def _shared() -> dict[str, Expr]:
    one = Dfa((((0, CODE_POINTS, 1),), ()), frozenset((1,)))
    space = Dfa((((0x09, 0x0A, 1), (0x0D, 0x0D, 1), (0x20, 0x20, 1)), ()), frozenset((1,)))
    return {
        CHARACTER: Machine(json_content(one)),
        STRING: sequence((QUOTE, Machine(json_content(anything())), QUOTE)),
        INTEGER: Machine(numbers.integer()),
        NUMBER: Machine(numbers.number()),
        SPACE: Repeat(Machine(space), 0, MOST_SPACE),
    }


@cache
def _values(spacing: Spacing) -> dict[str, Expr]:
    name = value_rule(spacing)
    value, between = Ref(name), marks(spacing)
    pair = sequence((Ref(STRING), between.key, value))
    parts: list[Expr] = [text("null"), text("true"), text("false"), Ref(NUMBER), Ref(STRING)]
    parts += [listed("[", value, "]", between), listed("{", pair, "}", between)]
    return {name: choice(parts)}


def listed(opening: str, part: Expr, closing: str, between: Marks) -> Expr:
    """Any number of parts in brackets."""
    parts = sequence((part, Repeat(sequence((between.item, part))), between.pad))
    return sequence((text(opening), between.pad, optional(parts), text(closing)))


@lru_cache(256)
def string(dfa: Dfa | None = None) -> Expr:
    """A JSON string, quotes included, whose value the automaton over code points accepts; None: any."""
    if dfa is None:
        return Ref(STRING)
    content = machine(json_content(dfa))
    return content if content is NOTHING else sequence((QUOTE, content, QUOTE))


def string_length(least: int, most: int | None = None) -> Expr:
    """A JSON string of `least` to `most` code points."""
    return sequence((QUOTE, Repeat(Ref(CHARACTER), least, most), QUOTE))


@lru_cache(64)
def length(least: int, most: int | None = None) -> Dfa:
    """Texts of `least` to `most` code points, to intersect with a string's other conditions."""
    if max(least, most or 0) > MOST_LENGTH:
        raise ConstraintError(
            f"a length of {max(least, most or 0):,} beside a pattern or format is more than {MOST_LENGTH:,}"
        )
    last = least if most is None else most
    edges: list[tuple[Edge, ...]] = [((0, CODE_POINTS, state + 1),) for state in range(last)]
    edges.append(((0, CODE_POINTS, last),) if most is None else ())
    return Dfa(tuple(edges), frozenset(range(least, last + 1)))


@lru_cache(512)
def machine(dfa: Dfa) -> Expr:
    """The same expression for the same automaton, so that the grammar shares its states."""
    return NOTHING if dfa.empty else Machine(dfa)


def literal(value: Any, spacing: Spacing = "compact") -> Expr:
    """One JSON value; strings beyond ASCII in both forms of json.dumps, integral floats also without `.0`."""
    between = marks(spacing)
    if isinstance(value, list):
        return _bracketed("[", [literal(one, spacing) for one in value], "]", between)
    if isinstance(value, dict):
        pairs = [sequence((literal(key), between.key, literal(one, spacing))) for key, one in value.items()]
        return _bracketed("{", pairs, "}", between)
    written = other = json.dumps(value, ensure_ascii=False)
    if isinstance(value, str):
        other = json.dumps(value)
    elif isinstance(value, float) and value.is_integer() and abs(value) < 1e16:
        written = str(int(value))
    return text(written) if written == other else Choice((text(written), text(other)))


def _bracketed(opening: str, parts: list[Expr], closing: str, between: Marks) -> Expr:
    pieces: list[Expr] = [text(opening), between.pad]
    for k, part in enumerate(parts):
        pieces += (between.item, part) if k else (part,)
    # Empty brackets have one white space, not two.
    return sequence([*pieces, between.pad if parts else EMPTY, text(closing)])
