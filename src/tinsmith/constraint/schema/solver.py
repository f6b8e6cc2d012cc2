"""From goals to shapes, each worked out once: what keywords say, met, and checked for emptiness."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized
from typing import Any

from tinsmith.constraint.automata import numbers
from tinsmith.constraint.schema.document import ANNOTATIONS, Document, Node
from tinsmith.constraint.schema.shapes import (
    ANY,
    ANYTHING,
    NEVER,
    Array,
    Finite,
    Goal,
    Number,
    Object,
    Shape,
    Shapes,
    String,
    join,
    key,
    meet,
    no_number,
    no_text,
)
from tinsmith.errors import ConstraintError

MOST_ALTERNATIVES = 1_000
MOST_MEETINGS = 300_000  # of two shapes, while a schema is worked out
MOST_NESTING = 50  # of allOf, anyOf, $ref and the like without an array or object between
MOST_CHECKS = 10  # levels of required properties that are looked into to see that two shapes exclude each other


Reading = Callable[["Solver", Node], Shapes]
_TYPES: dict[type[Shape], Any] = {Number: int | float, String: str, Array: list, Object: dict}  # of values


class _Unknown(Exception):
    """Whether something is empty depends on itself."""


class Solver:
    """holds, breaks: the shapes of the values that satisfy a subschema's keywords, and of those that do not."""

    def __init__(self, document: Document, *, holds: Reading, breaks: Reading) -> None:
        self.document = document
        self._holds, self._breaks = holds, breaks
        self._shapes: dict[Goal, Shapes] = {}
        self._single: dict[int, Shapes] = {}
        self._empty: dict[Goal, bool] = {}
        self._open: dict[int, int] = {}  # subschemas that are being worked out, and in which check of emptiness
        self._checks = 0
        self._meetings = 0

    # Goals

    def goal(self, number: int) -> Goal:
        """The goal of one subschema; follows schemas that are only a $ref, and names true and false."""
        seen = set()
        while number not in seen:
            seen.add(number)
            node = self.document.nodes[abs(number)]
            stated = set(node.schema) - set(ANNOTATIONS) if isinstance(node.schema, dict) else set()
            if stated == {"$ref"}:
                target = self.document.target(node)
                number = target if number > 0 else -target
            elif not stated:
                return NEVER if (node.schema is False) == (number > 0) else ANYTHING
        return (number,)

    def conjoin(self, a: Goal, b: Goal) -> Goal:
        if not b or a in (b, NEVER):
            return a
        if not a or b == NEVER:
            return b
        both = set(a + b)
        if any(-number in both for number in both):
            return NEVER
        return tuple(sorted(both, key=abs))

    def child(self, node: Node, keyword: str) -> Goal:
        return self.goal(self.document.child(node, keyword))

    def children(self, node: Node, keyword: str) -> list[Goal]:
        return [self.goal(number) for number in self.document.children(node, keyword)]

    def named(self, node: Node, keyword: str) -> dict[str, Goal]:
        return {name: self.goal(number) for name, number in self.document.named(node, keyword).items()}

    def opposite(self, goal: Goal) -> Goal:
        """Of one subschema's goal."""
        return NEVER if goal == ANYTHING else ANYTHING if goal == NEVER else (-goal[0],)

    # Shapes

    def shapes(self, goal: Goal) -> Shapes:
        if goal == ANYTHING:
            return ANY
        if goal == NEVER:
            return ()
        shapes = self._shapes.get(goal)
        if shapes is None:
            shapes = self._one(goal[0])
            for number in goal[1:]:
                shapes = self.meet(shapes, self._one(number))
            self._shapes[goal] = shapes
        return shapes

    def _one(self, number: int) -> Shapes:
        shapes = self._single.get(number)
        if shapes is not None:
            return shapes
        node = self.document.nodes[abs(number)]
        if number in self._open or len(self._open) >= MOST_NESTING:
            # Inside of a check of what an array or object holds, all this says is that it can't be checked.
            if self._checks != self._open.get(number, 0):
                raise _Unknown
            if number in self._open:
                raise node.error(None, "refers to itself with no array or object between")
            raise node.error(
                None, f"more than {MOST_NESTING} levels of $ref, allOf, anyOf and the like; make it flatter"
            )
        self._open[number] = self._checks
        try:
            self.document.check_keywords(node)
            shapes = (self._holds if number > 0 else self._breaks)(self, node)
        finally:
            del self._open[number]
        self._single[number] = shapes
        return shapes

    def meet(self, a: Shapes, b: Shapes) -> Shapes:
        if a is ANY:
            return b
        if b is ANY:
            return a
        self._meetings += len(a) * len(b)
        if self._meetings > MOST_MEETINGS:
            raise self._at_work().error(
                None,
                f"alternatives are set against each other more than {MOST_MEETINGS:,} times; give fewer in "
                "anyOf, oneOf, not, allOf or beside $ref, or a 'type' in each",
            )
        shapes = join(shape for one in a for other in b for shape in self._both(one, other))
        if len(shapes) > MOST_ALTERNATIVES:
            raise self._at_work().error(
                None,
                f"alternatives multiply to more than {MOST_ALTERNATIVES:,}; give fewer in anyOf, oneOf or not",
            )
        return shapes

    def _at_work(self) -> Node:
        """The subschema that is being worked out, for errors."""
        return self.document.nodes[abs(next(reversed(self._open), 1))]

    def _both(self, a: Shape, b: Shape) -> Iterator[Shape]:
        if isinstance(b, Finite) and not isinstance(a, Finite):
            a, b = b, a
        if isinstance(a, Finite):
            values = tuple(one for one in a.values if self.admits(b, one.value))
            if values:
                yield Finite(values=values)
        else:
            shape = meet(a, b, self.conjoin)
            if shape is not None and self.possible(shape):
                yield shape

    # Emptiness and membership

    def empty(self, goal: Goal) -> bool:
        """Whether nothing satisfies it; False if that can't be decided."""
        empty = self._empty.get(goal)
        if empty is None:
            if self._checks >= MOST_CHECKS:
                return False
            self._checks += 1
            try:
                empty = not self.shapes(goal)
            except _Unknown:
                empty = False
            finally:
                self._checks -= 1
            self._empty[goal] = empty
        return empty

    def possible(self, shape: Shape) -> bool:
        if isinstance(shape, Number):
            return not no_number(shape)
        if isinstance(shape, String):
            return not no_text(shape)
        if isinstance(shape, Array):
            fits = shape.most is None or shape.least <= shape.most
            needed = min(shape.least, len(shape.prefix) + 1)
            return fits and not any(self.empty(shape.item(k)) for k in range(needed))
        assert isinstance(shape, Object)
        if shape.most is not None and max(shape.least, len(shape.required)) > shape.most:
            return False
        known = dict(shape.known)
        return not any(self.empty(known[name]) for name in sorted(shape.required))  # errors in one order

    def admits(self, shape: Shape, value: Any) -> bool:
        """Whether a value is in a shape; ConstraintError where the shape can't say."""
        if isinstance(shape, Finite):
            return key(value) in {one.key for one in shape.values}
        if isinstance(value, bool | None) or not isinstance(value, _TYPES[type(shape)]):
            return False
        if shape.refused:
            raise ConstraintError(shape.refused)
        if isinstance(shape, String):
            return _in_bounds(shape, value) and (shape.dfa is None or shape.dfa.accepts_all(map(ord, value)))
        if isinstance(shape, Array):
            return self._in_array(shape, value)
        if isinstance(shape, Object):
            return self._in_object(shape, value)
        assert isinstance(shape, Number)
        return _in_number(shape, value)

    def _in_array(self, shape: Array, value: list[Any]) -> bool:
        if not _in_bounds(shape, value):
            return False
        if shape.unique and len({key(one) for one in value}) < len(value):
            return False
        return all(self._in_goal(shape.item(k), one) for k, one in enumerate(value))

    def _in_object(self, shape: Object, value: dict[str, Any]) -> bool:
        return (
            _in_bounds(shape, value)
            and shape.required <= value.keys()
            and all(self._in_goal(shape.goal(name), one) for name, one in value.items())
        )

    def _in_goal(self, goal: Goal, value: Any) -> bool:
        return any(self.admits(shape, value) for shape in self.shapes(goal))


def _in_bounds(shape: String | Array | Object, value: Sized) -> bool:
    return shape.least <= len(value) and (shape.most is None or len(value) <= shape.most)


def _in_number(shape: Number, value: Any) -> bool:
    exact = numbers.exact(value)
    return (
        (not shape.whole or exact.denominator == 1)
        and (shape.low is None or exact >= shape.low)
        and (shape.high is None or exact <= shape.high)
        and (shape.above is None or exact > shape.above)
        and (shape.below is None or exact < shape.below)
        and all((exact / step).denominator == 1 for step in shape.steps)
        and not any((exact / step).denominator == 1 for step in shape.off)
    )
