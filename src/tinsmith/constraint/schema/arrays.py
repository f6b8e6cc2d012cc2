"""Arrays as expressions: items one after the other, or a walk over the sets of different values."""

from __future__ import annotations

from collections.abc import Iterable

from tinsmith.constraint.grammar import EMPTY, NOTHING, Expr, Repeat, optional, sequence
from tinsmith.constraint.schema import json_text
from tinsmith.constraint.schema.build import Builder
from tinsmith.constraint.schema.shapes import Array, Finite, Goal, Item, Number, item
from tinsmith.errors import ConstraintError

LEVELS = 16  # of nested options in one expression
MOST_INTEGERS = 64  # of a range whose integers are taken for an enum


def array(builder: Builder, shape: Array, name: str) -> Expr:
    if shape.unique and (shape.most is None or shape.most > 1):
        return _unique(builder, shape, name)
    most = shape.most
    parts: list[Expr] = []
    for goal in shape.prefix[:most]:
        part = builder.value(goal)
        if part is None:
            most = len(parts)
            break
        parts.append(part)
    rest = builder.value(shape.rest) if most is None or most > len(parts) else None
    if rest is None:
        most = len(parts)
    if most is not None and most < shape.least:
        return NOTHING
    first = parts[0] if parts else rest
    if first is None or most == 0:
        return builder.bracketed("[]", None, True)
    count = max(len(parts), 1)
    tail: Expr = EMPTY
    if rest is not None and (most is None or most > count):
        bounds = max(shape.least - count, 0), None if most is None else most - count
        tail = Repeat(builder.then(rest), *bounds)
    for k in range(len(parts) - 1, 0, -1):
        tail = builder.then(sequence((parts[k], tail)))
        if k >= shape.least:
            tail = optional(tail)
            if k % LEVELS == 0:
                tail = builder.rule(name, tail)
    return builder.bracketed("[]", sequence((first, tail)), shape.least == 0)


def _unique(builder: Builder, shape: Array, name: str) -> Expr:
    """All items different: a state is the set of those that were written."""
    places = len(shape.prefix) + 1
    goals = {shape.item(k) for k in range(places if shape.most is None else min(shape.most, places))}
    lists = {goal: _finite(builder, shape, goal) for goal in sorted(goals)}
    items = {one.key: one for items in lists.values() for one in items}
    bits = {key: 1 << k for k, key in enumerate(items)}
    written = {key: json_text.literal(one.value, builder.options.spacing) for key, one in items.items()}

    def moves(state: int) -> Iterable[tuple[Expr, int]]:
        count = state.bit_count()
        if shape.most is None or count < shape.most:
            for one in lists[shape.item(count)]:
                if not state & bits[one.key]:
                    yield written[one.key], state | bits[one.key]

    def ends(state: int) -> bool:
        return state.bit_count() >= shape.least

    return builder.walk("[]", name, 0, moves, ends, f"{shape.where}/uniqueItems")


def _finite(builder: Builder, shape: Array, goal: Goal) -> list[Item]:
    """All values that an item may have."""
    values: list[Item] = []
    for one in builder.solver.shapes(goal):
        if isinstance(one, Finite):
            values += one.values
        elif isinstance(one, Number) and (integers := _integers(one)):
            values += [item(value) for value in integers if builder.solver.admits(one, value)]
        else:
            raise ConstraintError(
                f"{shape.where}/uniqueItems: 'uniqueItems' can only be enforced where items are an enum, a "
                "const, booleans or integers of a small range; give one of these, or remove it"
            )
    return values


def _integers(shape: Number) -> range | None:
    if not shape.whole or shape.low is None or shape.high is None or shape.high - shape.low > MOST_INTEGERS:
        return None
    return range(int(shape.low) - 1, int(shape.high) + 2)
