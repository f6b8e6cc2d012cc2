"""Texts that stand in a tool call as they are, up to a mark that ends them: no quotes, no escapes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from tinsmith.chat.tool_formats.kinds import referred
from tinsmith.constraint import regex
from tinsmith.constraint.automata.code_points import utf8
from tinsmith.constraint.automata.dfa import (
    CODE_POINTS,
    Dfa,
    anything,
    complement,
    intersect,
    minimize,
    nothing,
    union,
    words,
)
from tinsmith.constraint.grammar import Expr, Grammar, Machine
from tinsmith.constraint.json_schema import Options, schema_expr
from tinsmith.constraint.schema import document, json_text
from tinsmith.constraint.schema.formats import format_
from tinsmith.errors import ConstraintError

_MOST_REFERENCES = 32


@lru_cache(maxsize=32)
def without(mark: str) -> Dfa:
    """Texts in which the mark does not occur (after Knuth, Morris and Pratt); any text for an empty mark."""
    if not mark:
        return anything()
    edges = []
    for matched in range(len(mark)):
        targets = {}
        for symbol in set(mark):
            seen = mark[:matched] + symbol
            targets[symbol] = next(k for k in range(len(seen), -1, -1) if k == 0 or seen.endswith(mark[:k]))
        edges.append(_row({ord(symbol): to for symbol, to in targets.items()}, refused=len(mark)))
    return minimize(Dfa(tuple(edges), frozenset(range(len(mark)))))


def _row(targets: Mapping[int, int], refused: int) -> tuple[tuple[int, int, int], ...]:
    """Edges of a state: those of some symbols, and to the start for all others; none to `refused`."""
    edges, low = [], 0
    for symbol in sorted(targets):
        if low < symbol:
            edges.append((low, symbol - 1, 0))
        if targets[symbol] != refused:
            edges.append((symbol, symbol, targets[symbol]))
        low = symbol + 1
    return (*edges, (low, CODE_POINTS, 0))


@lru_cache(maxsize=32)
def free(mark: str) -> Machine:
    """An answer that makes no call: some text without the mark. For calls that begin with a brace, a text that
    does not begin with what JSON may be taken for."""
    if mark == "{":
        return Machine(utf8(regex.parse(r"[^\s{\[`][\s\S]*")))
    return Machine(utf8(intersect(without(mark), complement(words([()])))))


@lru_cache(maxsize=32)
def any_text(mark: str) -> Machine:
    return Machine(utf8(without(mark)))


def json_value(grammar: Grammar, schema: Any, path: str, spacing: json_text.Spacing) -> Expr:
    """A JSON value, by a part of the tools; errors name the place in them all."""
    try:
        return schema_expr(grammar, schema, path, Options(spacing, "schema", True))
    except ConstraintError as error:
        raise ConstraintError(str(error).replace(f"{path}#", path)) from None


def text(schema: Any, root: Any, mark: str, path: str) -> Expr:
    """A string that satisfies a schema, and in which the mark does not occur. ConstraintError for a keyword
    that can't be enforced here, and where nothing is left."""
    restricted = _restricted(schema, root, path, 0)
    if restricted is None:
        return any_text(mark)
    dfa = intersect(restricted, without(mark))
    if dfa.empty:
        raise ConstraintError(f"{path}: no text satisfies this schema and goes without {mark!r}")
    return Machine(utf8(dfa))


def _restricted(schema: Any, root: Any, path: str, depth: int) -> Dfa | None:
    """The strings that satisfy a schema; None: all."""
    if depth > _MOST_REFERENCES:
        raise ConstraintError(
            f"{path}: references lead {_MOST_REFERENCES} times from one to the next; shorten them"
        )
    if schema is True:
        return None
    if schema is False:
        return nothing()
    parts: list[Dfa | None] = []
    for keyword, value in schema.items():
        here = f"{path}/{keyword}"
        if keyword == "$ref":
            parts.append(_restricted(referred(value, root), root, here, depth + 1))
        elif keyword == "allOf":
            parts += [_restricted(part, root, f"{here}/{k}", depth + 1) for k, part in enumerate(value)]
        elif keyword == "anyOf":
            parts.append(
                _any_of([_restricted(part, root, f"{here}/{k}", depth + 1) for k, part in enumerate(value)])
            )
        else:
            parts.append(_keyword(keyword, value, here))
    dfa = None
    for part in parts:
        dfa = part if dfa is None else dfa if part is None else intersect(dfa, part)
    return dfa


def _keyword(keyword: str, value: Any, path: str) -> Dfa | None:
    if keyword == "type":
        return None if value == "string" or "string" in value else nothing()
    if keyword in ("enum", "const"):
        values = value if keyword == "enum" else [value]
        return words([tuple(map(ord, one)) for one in values if isinstance(one, str)])
    if keyword == "pattern":
        return regex.search(value, path=path)
    if keyword == "format":
        return format_(value)
    if keyword == "minLength":
        return json_text.length(value) if value else None
    if keyword == "maxLength":
        return json_text.length(0, value)
    if keyword in document.ANNOTATIONS or keyword.startswith("x-"):
        return None
    raise ConstraintError(
        f"{path}: {keyword!r} can't be enforced for texts without quotes; remove it, or use format json"
    )


def _any_of(parts: Iterable[Dfa | None]) -> Dfa | None:
    dfa = nothing()
    for part in parts:
        if part is None:
            return None
        dfa = union(dfa, part)
    return dfa
