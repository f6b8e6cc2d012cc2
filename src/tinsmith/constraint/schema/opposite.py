"""What a subschema does not allow, as shapes: whatever breaks at least one of its keywords.

`not`, oneOf and if need it. What is out of reach of a finite automaton, or of shapes, is `refused`.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import pairwise
from typing import Any

from tinsmith.constraint.automata.dfa import anything, complement, difference, words
from tinsmith.constraint.schema.document import Node
from tinsmith.constraint.schema.keywords import branches, dependent, pattern_of, values_of
from tinsmith.constraint.schema.shapes import (
    ANY,
    ANYTHING,
    CONSTANTS,
    NEVER,
    Array,
    Finite,
    Goal,
    Item,
    Number,
    Object,
    Shape,
    Shapes,
    String,
    having,
    join,
)
from tinsmith.constraint.schema.solver import Solver

ADVICE = (
    "which 'not', 'oneOf' or 'if' asks for here; give anyOf in its place, or alternatives that a const or enum "
    "of a required property tells apart"
)


def breaks(solver: Solver, node: Node) -> Shapes:
    if isinstance(node.schema, bool):
        return () if node.schema else ANY
    shapes: list[Shape] = []
    for keyword in node.schema:
        for break_one in (_combined, _scalar, _counted, _array, _object):
            shapes += break_one(solver, node, keyword)
    for values in values_of(node):
        shapes += _all_but(node, values)
    return join(
        shape for shape in shapes if isinstance(shape, Finite) or shape.refused or solver.possible(shape)
    )


def _combined(solver: Solver, node: Node, keyword: str) -> Iterable[Shape]:
    if keyword == "$ref":
        return solver.shapes(solver.opposite(solver.goal(solver.document.target(node))))
    if keyword == "allOf":
        opposites = [solver.opposite(goal) for goal in solver.children(node, keyword)]
        return [shape for goal in opposites for shape in solver.shapes(goal)]
    if keyword in ("anyOf", "oneOf"):
        goals = solver.children(node, keyword)
        none: Shapes = ANY
        for goal in goals:
            none = solver.meet(none, solver.shapes(solver.opposite(goal)))
        if keyword == "anyOf":
            return none
        parts = [solver.shapes(goal) for goal in goals]
        two = [
            shape for k, part in enumerate(parts) for other in parts[:k] for shape in solver.meet(part, other)
        ]
        return (*none, *two)
    if keyword == "not":
        return solver.shapes(solver.child(node, keyword))
    if keyword == "if":
        return branches(solver, node, opposite=True)
    return ()


def _scalar(solver: Solver, node: Node, keyword: str) -> Iterable[Shape]:
    if keyword == "type":
        return _other_types(node)
    bound = _numeric(node, keyword)
    if bound is not None:
        return (bound,)
    if keyword == "pattern":
        return (String(node.path, dfa=complement(pattern_of(node, node.schema[keyword], keyword, wide=True))),)
    if keyword == "format":
        # What `format` accepts is less than all texts that a validator lets pass.
        return (String(node.path, refused=_refused(node, keyword)),)
    return ()


def _other_types(node: Node) -> Iterable[Shape]:
    types = node.types()
    names = ("null", "boolean", "boolean")
    values = tuple(one for one, name in zip(CONSTANTS, names, strict=True) if name not in types)
    if values:
        yield Finite(values=values)
    if "number" not in types:
        yield Number(node.path, off=frozenset((Fraction(1),))) if "integer" in types else ANY[1]
    for name, shape in zip(("string", "array", "object"), ANY[2:], strict=True):
        if name not in types:
            yield shape


# The field of a Number that says the opposite of a bound.
_OPPOSITES = {"minimum": "below", "maximum": "above", "exclusiveMinimum": "high", "exclusiveMaximum": "low"}


def _numeric(node: Node, keyword: str) -> Number | None:
    if keyword in _OPPOSITES:
        bound: dict[str, Any] = {_OPPOSITES[keyword]: node.number(keyword)}
        return Number(node.path, **bound)
    step = node.step() if keyword == "multipleOf" else None
    return None if step is None else Number(node.path, off=frozenset((step,)))


_COUNTED: dict[str, type[String | Array | Object]] = {"Length": String, "Items": Array, "Properties": Object}


def _counted(solver: Solver, node: Node, keyword: str) -> Iterable[Shape]:
    """The opposite of bounds such as minLength."""
    bound, kind = keyword[:3], _COUNTED.get(keyword[3:])
    count = node.count(keyword) if kind and bound in ("min", "max") else None
    if kind is None or count is None or (bound == "min" and count == 0):
        return ()
    return (kind(node.path, most=count - 1) if bound == "min" else kind(node.path, least=count + 1),)


def _array(solver: Solver, node: Node, keyword: str) -> Iterable[Shape]:
    if keyword == "prefixItems":
        goals = [solver.opposite(goal) for goal in solver.children(node, keyword)]
        return [
            Array(node.path, prefix=(ANYTHING,) * k + (goal,), least=k + 1)
            for k, goal in enumerate(goals)
            if goal != NEVER
        ]
    if keyword == "items":
        goal = solver.child(node, keyword)
        if goal == NEVER:
            return (Array(node.path, least=len(node.schema.get("prefixItems", ())) + 1),)
        return () if goal == ANYTHING else (Array(node.path, refused=_refused(node, keyword)),)
    if keyword in ("contains", "unevaluatedItems") or (keyword == "uniqueItems" and node.schema[keyword]):
        return (Array(node.path, refused=_refused(node, keyword)),)
    return ()


def _object(solver: Solver, node: Node, keyword: str) -> Iterable[Shape]:
    if keyword == "required":
        # Without the key, or with a value that is not allowed: one shape says both.
        goals = {name: solver.opposite(goal) for name, goal in solver.named(node, "properties").items()}
        return [Object(node.path, known=((name, goals.get(name, NEVER)),)) for name in node.names(keyword)]
    if keyword == "properties":
        goals = {name: solver.opposite(goal) for name, goal in solver.named(node, keyword).items()}
        named = {
            name: goal for name, goal in goals.items() if goal != NEVER and name not in node.names("required")
        }
        return [having(node.path, (name,), goal) for name, goal in named.items()]
    if keyword == "dependentRequired":
        return [
            Object(node.path, known=((name, ANYTHING), (needed, NEVER)), required=frozenset((name,)))
            for name, names in dependent(node).items()
            for needed in names
            if needed != name
        ]
    if keyword == "dependentSchemas":
        shapes: list[Shape] = []
        for name, goal in solver.named(node, keyword).items():
            shapes += solver.meet((having(node.path, (name,)),), solver.shapes(solver.opposite(goal)))
        return shapes
    further: list[Goal] = []
    if keyword == "patternProperties":
        further = list(solver.named(node, keyword).values())
    elif keyword in ("additionalProperties", "unevaluatedProperties", "propertyNames"):
        further = [solver.child(node, keyword)]
    if any(goal != ANYTHING for goal in further):
        return (Object(node.path, refused=_refused(node, keyword)),)
    return ()


def _all_but(node: Node, values: tuple[Item, ...]) -> Iterable[Shape]:
    """Everything except some values."""
    given = {one.key for one in values}
    rest = tuple(one for one in CONSTANTS if one.key not in given)
    if rest:
        yield Finite(values=rest)
    numbers = sorted({value for kind, value in (one.key for one in values) if kind == "number"})
    for low, high in pairwise([None, *numbers, None]):
        yield Number(node.path, above=low, below=high)
    texts = [one.value for one in values if isinstance(one.value, str)]
    yield String(
        node.path, dfa=difference(anything(), words(map(ord, word) for word in texts)) if texts else None
    )
    lists = [one.value for one in values if isinstance(one.value, list)]
    yield Array(node.path, least=int([] in lists), refused=_refused(node, "enum") if any(lists) else None)
    objects = [one.value for one in values if isinstance(one.value, dict)]
    yield Object(node.path, least=int({} in objects), refused=_refused(node, "enum") if any(objects) else None)


def _refused(node: Node, keyword: str) -> str:
    return str(node.error(keyword, f"the opposite of '{keyword}' can't be enforced, {ADVICE}"))
