"""What the keywords of one subschema say, as shapes. What stands side by side holds at once, so shapes meet.

What shapes can't say is a shape that is `refused`: no harm where it meets nothing.
"""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import Any

from tinsmith.constraint import regex
from tinsmith.constraint.automata.dfa import Dfa, complement, difference, intersect, nothing, union, words
from tinsmith.constraint.schema.document import MOST_VALUE_DEPTH, Node, extent, show
from tinsmith.constraint.schema.formats import format_
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
    characters,
    having,
    item,
    join,
    lacking,
)
from tinsmith.constraint.schema.solver import Solver
from tinsmith.errors import ConstraintError

MOST_REGIONS = 64
MOST_LISTED = 50_000  # values of an enum, those inside of others counted too
MOST_NAMES = 10_000  # of one object's keys
IN_PLACE = ("$ref", "allOf", "anyOf", "oneOf", "if", "dependentSchemas")


def holds(solver: Solver, node: Node) -> Shapes:
    """What satisfies a subschema."""
    if isinstance(node.schema, bool):
        return ANY if node.schema else ()
    result: Shapes = ANY
    local = False
    for keyword in node.schema:
        shapes = _in_place(solver, node, keyword)
        # What is local comes when the first property is declared: keys keep the order of the schema.
        if shapes is None and keyword == "properties" and not local:
            local, shapes = True, _local(solver, node)
        if shapes is not None:
            result = solver.meet(result, shapes)
    return result if local else solver.meet(result, _local(solver, node))


def _in_place(solver: Solver, node: Node, keyword: str) -> Shapes | None:
    """What a keyword says of the same value by other schemas; None for other keywords."""
    if keyword == "$ref":
        return solver.shapes(solver.goal(solver.document.target(node)))
    if keyword == "allOf":
        return _every(solver, solver.children(node, keyword))
    if keyword == "anyOf":
        return join(shape for goal in solver.children(node, keyword) for shape in solver.shapes(goal))
    if keyword == "oneOf":
        return _exactly_one(solver, solver.children(node, keyword))
    if keyword == "not":
        return solver.shapes(solver.opposite(solver.child(node, keyword)))
    if keyword == "if":
        return branches(solver, node, opposite=False)
    if keyword == "dependentRequired":
        every: Shapes = ANY
        for name, needed in dependent(node).items():
            both = having(node.path, (name, *needed))
            every = solver.meet(every, (*ANY[:4], lacking(node.path, name), both))
        return every
    if keyword == "dependentSchemas":
        every = ANY
        for name, goal in solver.named(node, keyword).items():
            then = solver.meet((having(node.path, (name,)),), solver.shapes(goal))
            every = solver.meet(every, (*ANY[:4], lacking(node.path, name), *then))
        return every
    return None


def _every(solver: Solver, goals: list[Goal]) -> Shapes:
    shapes: Shapes = ANY
    for goal in goals:
        shapes = solver.meet(shapes, solver.shapes(goal))
    return shapes


def _exactly_one(solver: Solver, goals: list[Goal]) -> Shapes:
    """Each alternative without those that it has something in common with."""
    parts = [solver.shapes(goal) for goal in goals]
    common: list[list[int]] = [[] for _ in goals]
    for k, part in enumerate(parts):
        for other in range(k):
            if solver.meet(part, parts[other]):
                common[k].append(other)
                common[other].append(k)
    shapes: list[Shape] = []
    for k, part in enumerate(parts):
        for other in common[k]:
            part = solver.meet(part, solver.shapes(solver.opposite(goals[other])))
        shapes += part
    return join(shapes)


def branches(solver: Solver, node: Node, opposite: bool) -> Shapes:
    condition = solver.child(node, "if")
    shapes: list[Shape] = []
    for keyword, when in (("then", condition), ("else", solver.opposite(condition))):
        goal = solver.child(node, keyword) if keyword in node.schema else ANYTHING
        if opposite:
            goal = solver.opposite(goal)
        if goal != NEVER:
            shapes += solver.meet(solver.shapes(when), solver.shapes(goal))
    return join(shapes)


def dependent(node: Node) -> dict[str, list[str]]:
    given = node.schema["dependentRequired"]
    if not isinstance(given, dict):
        raise node.error("dependentRequired", "give an object of lists of names")
    parent = Node(f"{node.path}/dependentRequired", given, node.base)
    return {name: parent.names(name) for name in given}


# What one value says by itself


def _local(solver: Solver, node: Node) -> Shapes:
    types = node.types()
    shapes: list[Shape] = []
    values = tuple(
        one for one, name in zip(CONSTANTS, ("null", "boolean", "boolean"), strict=True) if name in types
    )
    if values:
        shapes.append(Finite(values=values))
    if "number" in types or "integer" in types:
        shapes.append(_number(node, "number" not in types))
    if "string" in types:
        shapes.append(_string(node))
    if "array" in types:
        shapes.append(_array(solver, node))
    if "object" in types:
        shapes.append(_object(solver, node))
    result: Shapes = tuple(shape for shape in shapes if isinstance(shape, Finite) or solver.possible(shape))
    for values in values_of(node):
        result = solver.meet(result, (Finite(values=values),))
    return ANY if result == ANY else result


def values_of(node: Node) -> list[tuple[Item, ...]]:
    """What enum and const list."""
    lists = []
    if "enum" in node.schema:
        given = node.schema["enum"]
        if not isinstance(given, list):
            raise node.error("enum", "give a list of values")
        lists.append(_items(node, "enum", given))
    if "const" in node.schema:
        lists.append(_items(node, "const", [node.schema["const"]]))
    return lists


def _items(node: Node, keyword: str, values: list[Any]) -> tuple[Item, ...]:
    levels, count = extent(values)
    if levels > MOST_VALUE_DEPTH:
        raise node.error(keyword, f"a value nests deeper than {MOST_VALUE_DEPTH} levels; make it flatter")
    if count > MOST_LISTED:
        raise node.error(keyword, f"{count:,} values, those inside of others too; give at most {MOST_LISTED:,}")
    try:
        return tuple({one.key: one for one in map(item, values)}.values())
    except ConstraintError as error:
        raise node.error(keyword, str(error)) from None


def _number(node: Node, whole: bool) -> Number:
    step = node.step()
    return Number(
        node.path,
        None,
        whole,
        node.number("minimum"),
        node.number("maximum"),
        node.number("exclusiveMinimum"),
        node.number("exclusiveMaximum"),
        frozenset() if step is None else frozenset((step,)),
    )


def _string(node: Node) -> String:
    dfa = None
    if "pattern" in node.schema:
        dfa = pattern_of(node, node.schema["pattern"], "pattern")
    if "format" in node.schema:
        texts = format_of(node)
        dfa = texts if dfa is None else intersect(dfa, texts)
    return String(node.path, None, dfa, node.count("minLength") or 0, node.count("maxLength"))


def pattern_of(node: Node, pattern: Any, keyword: str, *, wide: bool = False) -> Dfa:
    """wide: all texts that a validator may find the pattern in, for what they must not be."""
    if not isinstance(pattern, str):
        raise node.error(keyword, f"{show(pattern)} is no pattern; give text")
    return regex.search(pattern, path=f"{node.path}/{keyword}", wide=wide)


def format_of(node: Node) -> Dfa:
    name = node.schema["format"]
    if not isinstance(name, str):
        raise node.error("format", f"{show(name)} is no format; give a name")
    try:
        return format_(name)
    except ConstraintError as error:
        raise node.error("format", str(error)) from None


def _array(solver: Solver, node: Node) -> Array:
    schema = node.schema
    prefix = tuple(solver.children(node, "prefixItems")) if "prefixItems" in schema else ()
    if isinstance(schema.get("items"), list):
        raise node.error("items", "a list here is 'prefixItems' since draft 2020-12")
    rest = solver.child(node, "items") if "items" in schema else ANYTHING
    refused = _refused(node, "contains") if "contains" in schema else None
    if "unevaluatedItems" in schema and "items" not in schema:
        goal = solver.child(node, "unevaluatedItems")
        if goal != ANYTHING and any(keyword in schema for keyword in (*IN_PLACE, "contains")):
            refused = refused or _refused(node, "unevaluatedItems")
        else:
            rest = goal
    unique = schema.get("uniqueItems", False)
    if not isinstance(unique, bool):
        raise node.error("uniqueItems", "give true or false")
    return Array(node.path, refused, prefix, rest, node.count("minItems") or 0, node.count("maxItems"), unique)


def _object(solver: Solver, node: Node) -> Object:
    schema = node.schema
    known = solver.named(node, "properties")
    rest, refused = ANYTHING, None
    if "additionalProperties" in schema:
        rest = solver.child(node, "additionalProperties")
    elif "unevaluatedProperties" in schema:
        goal = solver.child(node, "unevaluatedProperties")
        if goal != ANYTHING and any(keyword in schema for keyword in IN_PLACE):
            refused = _refused(node, "unevaluatedProperties")
        else:
            rest = goal
    regions: list[tuple[Dfa | None, Goal]] = [(None, rest)]
    if "patternProperties" in schema:
        known, regions = _patterns(solver, node, known, rest)
    implicit = not any(
        word in schema for word in ("additionalProperties", "patternProperties", "unevaluatedProperties")
    )
    required = frozenset(node.names("required"))
    if len(required) > MOST_NAMES:
        raise node.error("required", f"{len(required):,} names; give at most {MOST_NAMES:,}")
    if "propertyNames" in schema:
        names = strings(solver.shapes(solver.child(node, "propertyNames")))
        if names is not None:
            known = {name: goal if names.accepts_all(map(ord, name)) else NEVER for name, goal in known.items()}
            inside = [(names if dfa is None else intersect(dfa, names), goal) for dfa, goal in regions]
            regions = [*((dfa, goal) for dfa, goal in inside if not dfa.empty), (complement(names), NEVER)]
    least, most = node.count("minProperties") or 0, node.count("maxProperties")
    shape = Object(node.path, refused, tuple(known.items()), required, tuple(regions), least, most, implicit)
    # What is required and not declared comes after what is, in the order of `required`.
    late = [(name, shape.unknown(name)) for name in dict.fromkeys(node.names("required")) if name not in known]
    return replace(shape, known=(*shape.known, *late)) if late else shape


def _patterns(
    solver: Solver, node: Node, known: dict[str, Goal], rest: Goal
) -> tuple[dict[str, Goal], list[tuple[Dfa | None, Goal]]]:
    """The known keys with what patterns say of them too; the regions that patterns cut all other keys into."""
    known = dict(known)
    parts: list[tuple[Dfa | None, Goal, bool]] = [(None, ANYTHING, False)]
    for pattern, goal in solver.named(node, "patternProperties").items():
        dfa = pattern_of(node, pattern, "patternProperties")
        wide = pattern_of(node, pattern, "patternProperties", wide=True)
        for name in known:
            if wide.accepts_all(map(ord, name)):
                known[name] = solver.conjoin(known[name], goal)
        cut: list[tuple[Dfa | None, Goal, bool]] = []
        for part, before, matched in parts:
            inside = dfa if part is None else intersect(part, dfa)
            outside = complement(wide) if part is None else difference(part, wide)
            cut += [(inside, solver.conjoin(before, goal), True)] if not inside.empty else []
            cut += [(outside, before, matched)] if not outside.empty else []
        parts = cut
        if len(parts) > MOST_REGIONS:
            raise node.error("patternProperties", f"patterns overlap in over {MOST_REGIONS} ways; give fewer")
    return known, [(part, goal if matched else rest) for part, goal, matched in parts]


def strings(shapes: Shapes) -> Dfa | None:
    """The strings among the values of shapes; None: all."""
    dfas: list[Dfa] = []
    for shape in shapes:
        if isinstance(shape, Finite):
            dfas.append(words(map(ord, one.value) for one in shape.values if isinstance(one.value, str)))
        elif isinstance(shape, String):
            if shape.refused:
                raise ConstraintError(shape.refused)
            if shape == ANY[2]:
                return None
            dfas.append(characters(shape))
    return reduce(union, dfas, nothing())


def _refused(node: Node, keyword: str) -> str:
    return str(node.refusal(keyword))
