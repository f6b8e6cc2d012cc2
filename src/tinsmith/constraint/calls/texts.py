"""Texts that stand in a tool call as they are, up to a mark that ends them: no quotes, no escapes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from tinsmith.constraint import Spacing, regex
from tinsmith.constraint.automata.code_points import utf8
from tinsmith.constraint.automata.dfa import Dfa, anything, complement, intersect, words
from tinsmith.constraint.grammar import Expr, Grammar, Machine
from tinsmith.constraint.json_schema import Options, schema_expr, solver_of
from tinsmith.constraint.schema import document
from tinsmith.constraint.schema.keywords import strings
from tinsmith.errors import ConstraintError

# References by anchor are not followed here.
ANNOTATIONS = frozenset(document.ANNOTATIONS) - {"$anchor", "$dynamicAnchor"}


@lru_cache(maxsize=32)
def without(mark: str) -> Dfa:
    """Texts in which the mark does not occur; any text for an empty mark."""
    return complement(regex.search(re.escape(mark))) if mark else anything()


@lru_cache(maxsize=32)
def free(mark: str) -> Machine:
    """An answer that makes no call: some text without the mark. For calls that begin with a brace, a text that
    does not begin with what JSON may be taken for."""
    if mark == "{":
        return Machine(utf8(regex.parse(r"[^\s{\[`][\s\S]*")))
    return Machine(utf8(intersect(without(mark), complement(words([()])))))


@contextmanager
def _at(path: str) -> Iterator[None]:
    """Within it, errors of a part of the tools name the place in them all."""
    try:
        yield
    except ConstraintError as error:
        raise ConstraintError(str(error).replace(f"{path}#", path)) from None


def json_value(grammar: Grammar, schema: Any, path: str, spacing: Spacing) -> Expr:
    """A JSON value, by a part of the tools."""
    with _at(path):
        return schema_expr(grammar, schema, path, Options(spacing, "schema", True))


def text(schema: Any, root: Mapping[str, Any], mark: str, path: str) -> Expr:
    """A string that satisfies a schema, and in which the mark does not occur. ConstraintError for a keyword
    that can't be enforced, and where nothing is left."""
    with _at(path):
        solver = solver_of(rooted(schema, root), path)
        allowed = strings(solver.shapes(solver.goal(solver.document.root)))
    dfa = without(mark) if allowed is None else intersect(allowed, without(mark))
    if dfa.empty:
        raise ConstraintError(f"{path}: no text satisfies this schema and goes without {mark!r}")
    return Machine(utf8(dfa))


def rooted(schema: Any, root: Mapping[str, Any]) -> Any:
    """A part of a schema as a separate document, with the definitions that it may refer to."""
    if not isinstance(schema, Mapping):
        return schema
    return {**schema, **{name: root[name] for name in ("$defs", "definitions") if name in root}}
