"""JSON Schema (draft 2020-12) to a grammar: every text of it satisfies the schema.

    schema ─▶ Document ─▶ Solver ─▶ shapes ─▶ Builder ─▶ Grammar
              checked      keywords, meets     rules

A keyword that can't be enforced is an error with its path; none is ignored. As in the specification, objects
are open unless the schema closes them: further keys come after the declared ones. `closed` closes them.
"""

from __future__ import annotations

from typing import Any

from tinsmith.constraint import Constraint
from tinsmith.constraint.grammar import NOTHING, Expr, Grammar, Ref, sequence
from tinsmith.constraint.machine.automaton import compile_grammar
from tinsmith.constraint.schema import json_text
from tinsmith.constraint.schema.arrays import array
from tinsmith.constraint.schema.build import Builder, Options, Order
from tinsmith.constraint.schema.document import Document
from tinsmith.constraint.schema.keywords import holds
from tinsmith.constraint.schema.objects import object_
from tinsmith.constraint.schema.opposite import breaks
from tinsmith.constraint.schema.solver import Solver
from tinsmith.errors import ConstraintError

__all__ = ["Options", "compile_schema", "schema_expr"]


def compile_schema(
    schema: dict[str, Any] | bool,
    *,
    spacing: json_text.Spacing = "compact",
    order: Order = "schema",
    closed: bool = False,
) -> Constraint:
    """The constraint of JSON texts that satisfy a schema.

    spacing: "compact" `{"a":1,"b":2}`, "spaced" `{"a": 1, "b": 2}`, "free": any white space, 20 characters at
    a place. order: of declared properties: as in the schema, or "free" (at most 8 of an object). closed: an
    object that declares properties has no others, unless its schema allows them.
    Raises ConstraintError: what can't be enforced and where, a limit, or that nothing satisfies the schema.
    """
    grammar = Grammar({"#": NOTHING}, start="#")  # named as errors name the schema
    options = Options(spacing, order, closed)
    value = schema_expr(grammar, schema, "", options)
    if spacing == "free":
        value = sequence((Ref(json_text.SPACE), value, Ref(json_text.SPACE)))
    grammar.rules[grammar.start] = value
    return compile_grammar(grammar, "schema")


def schema_expr(grammar: Grammar, schema: Any, path: str = "", options: Options | None = None) -> Expr:
    """The expression of a value that satisfies a schema; its rules are added to the grammar.

    path: what errors name the schema by, before the `#` of their paths.
    """
    options = options or Options()
    json_text.rules(grammar, options.spacing)
    solver = solver_of(schema, path)
    goal = solver.goal(solver.document.root)
    if not solver.shapes(goal):
        raise ConstraintError(f"{path}#: nothing satisfies this schema; look for what excludes each other")
    return Builder(grammar, solver, options, array=array, object_=object_).build(goal)


def solver_of(schema: Any, path: str) -> Solver:
    return Solver(Document(schema, path), holds=holds, breaks=breaks)
