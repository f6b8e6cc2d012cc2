"""What a schema allows, as a union of shapes: finitely many values, numbers, strings, arrays and objects.

Schemas inside arrays and objects stay goals: sets of subschemas, by number, that must all hold (a negative one
must not). So two shapes meet without looking inside them, and recursion terminates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache, partial
from typing import Any

from tinsmith.constraint import regex
from tinsmith.constraint.automata import numbers
from tinsmith.constraint.automata.dfa import Dfa, anything, difference, intersect
from tinsmith.constraint.schema import json_text
from tinsmith.errors import ConstraintError

Goal = tuple[int, ...]  # ascending by size; empty: anything goes
ANYTHING: Goal = ()
NEVER: Goal = (0,)


@dataclass(frozen=True)
class Item:
    """A value. key: equal for values that JSON Schema takes for equal."""

    key: Any
    value: Any = field(compare=False)


@dataclass(frozen=True)
class Shape:
    """refused: why it can't be enforced, the error message if the shape is needed."""

    where: str = field(default="#", compare=False)
    refused: str | None = None


@dataclass(frozen=True)
class Finite(Shape):
    values: tuple[Item, ...] = ()


@dataclass(frozen=True)
class Number(Shape):
    """low <= x <= high, above < x < below; multiples of all steps and of none of `off`. whole: integers."""

    whole: bool = False
    low: Fraction | None = None
    high: Fraction | None = None
    above: Fraction | None = None
    below: Fraction | None = None
    steps: frozenset[Fraction] = frozenset()
    off: frozenset[Fraction] = frozenset()


@dataclass(frozen=True)
class String(Shape):
    """dfa: over code points; None: any. least, most: code points."""

    dfa: Dfa | None = None
    least: int = 0
    most: int | None = None


@dataclass(frozen=True)
class Array(Shape):
    prefix: tuple[Goal, ...] = ()
    rest: Goal = ANYTHING
    least: int = 0
    most: int | None = None
    unique: bool = False

    def item(self, index: int) -> Goal:
        return self.prefix[index] if index < len(self.prefix) else self.rest


@dataclass(frozen=True)
class Object(Shape):
    """regions: of the keys that are not known, disjoint; a Dfa over code points (None: all) and what the values
    are. What is required is known. implicit: the schema says nothing about further keys."""

    known: tuple[tuple[str, Goal], ...] = ()
    required: frozenset[str] = frozenset()
    regions: tuple[tuple[Dfa | None, Goal], ...] = ((None, ANYTHING),)
    least: int = 0
    most: int | None = None
    implicit: bool = True

    def goal(self, key: str) -> Goal:
        for name, goal in self.known:
            if name == key:
                return goal
        return self.unknown(key)

    def unknown(self, key: str) -> Goal:
        """The goal of a key's value, for a key that is not among the known ones."""
        for dfa, goal in self.regions:
            if dfa is None or dfa.accepts_all(map(ord, key)):
                return goal
        return NEVER


def having(where: str, names: Iterable[str], goal: Goal = ANYTHING) -> Object:
    """Objects that have these keys."""
    keys = tuple(dict.fromkeys(names))
    return Object(where, known=tuple((name, goal) for name in keys), required=frozenset(keys))


def lacking(where: str, name: str) -> Object:
    """Objects without this key."""
    return Object(where, known=((name, NEVER),))


def item(value: Any) -> Item:
    return Item(key(value), value)


def key(value: Any) -> Any:
    if value is None or isinstance(value, bool | str):
        return (type(value).__name__, value)
    if isinstance(value, list):
        return ("list", tuple([key(part) for part in value]))
    if isinstance(value, dict):
        return ("dict", frozenset([(name, key(part)) for name, part in value.items()]))
    return ("number", numbers.exact(value))


CONSTANTS = (item(None), item(True), item(False))
ANY: tuple[Shape, ...] = (Finite(values=CONSTANTS), Number(), String(), Array(), Object())

Shapes = tuple[Shape, ...]  # a union
Conjoin = Callable[[Goal, Goal], Goal]


def meet(a: Shape, b: Shape, conjoin: Conjoin) -> Shape | None:
    """Both at once, of one class and neither of them Finite; None: nothing."""
    refused = a.refused or b.refused
    if isinstance(a, Number) and isinstance(b, Number):
        return Number(
            a.where if a != ANY[1] else b.where,
            refused,
            a.whole or b.whole,
            _most(a.low, b.low),
            _least(a.high, b.high),
            _most(a.above, b.above),
            _least(a.below, b.below),
            a.steps | b.steps,
            a.off | b.off,
        )
    if isinstance(a, String) and isinstance(b, String):
        return String(a.where, refused, _both(a.dfa, b.dfa), max(a.least, b.least), _least(a.most, b.most))
    if isinstance(a, Array) and isinstance(b, Array):
        prefix = tuple(conjoin(a.item(k), b.item(k)) for k in range(max(len(a.prefix), len(b.prefix))))
        least, most = max(a.least, b.least), _least(a.most, b.most)
        return Array(a.where, refused, prefix, conjoin(a.rest, b.rest), least, most, a.unique or b.unique)
    if isinstance(a, Object) and isinstance(b, Object):
        return _meet_objects(a, b, conjoin, refused)
    return None


def _meet_objects(a: Object, b: Object, conjoin: Conjoin, refused: str | None) -> Object:
    names = dict.fromkeys([name for name, _ in (*a.known, *b.known)])
    in_a, in_b = dict(a.known), dict(b.known)
    known = tuple(
        (
            name,
            conjoin(
                in_a[name] if name in in_a else a.unknown(name),
                in_b[name] if name in in_b else b.unknown(name),
            ),
        )
        for name in names
    )
    regions = []
    for one, first in a.regions:
        for other, second in b.regions:
            dfa = _both(one, other)
            if dfa is None or not dfa.empty:
                regions.append((dfa, conjoin(first, second)))
    return Object(
        a.where if a != ANY[4] else b.where,
        refused,
        known,
        a.required | b.required,
        tuple(regions),
        max(a.least, b.least),
        _least(a.most, b.most),
        a.implicit and b.implicit,
    )


def _most(a: Fraction | None, b: Fraction | None) -> Fraction | None:
    return b if a is None else a if b is None else max(a, b)


def _least(a: Any, b: Any) -> Any:
    return b if a is None else a if b is None else min(a, b)


def _both(a: Dfa | None, b: Dfa | None) -> Dfa | None:
    return b if a is None else a if b is None or a is b else _intersect(a, b)


_intersect = lru_cache(1024)(intersect)


def join(shapes: Iterable[Shape]) -> tuple[Shape, ...]:
    """Either of them: values together, and nothing beside what contains it."""
    values: dict[Any, Item] = {}
    others: dict[Shape, None] = {}
    for shape in shapes:
        if isinstance(shape, Finite):
            for one in shape.values:
                values.setdefault(one.key, one)
        else:
            others[shape] = None
    free = [shape for shape in ANY[1:] if shape in others]
    kept = [shape for shape in others if shape in free or not any(isinstance(shape, type(one)) for one in free)]
    finite = (Finite(values=tuple(values.values())),) if values else ()
    return (*finite, *kept)


def digits(shape: Number) -> Dfa:
    """The texts of a number, as bytes."""
    make = partial(numbers.number, whole=shape.whole)
    steps = sorted(shape.steps)
    first = steps[0] if steps else None
    dfa = make(shape.low, shape.high, above=shape.above, below=shape.below, step=first)
    for step in steps[1:]:
        dfa = intersect(dfa, make(step=step))
    if shape.off and not shape.whole:
        dfa = intersect(dfa, _short(max(numbers.places_of(step) or 0 for step in shape.off) + 2))
    for step in sorted(shape.off):
        dfa = difference(dfa, make(step=step))
    return dfa


@lru_cache(16)
def _short(fraction: int) -> Dfa:
    """Plain decimals of so many digits behind the point and of at most 15 in all: every multiple among them is
    one that numbers.number(step=...) knows, and none turns into one when it is read as a double."""
    whole = max(1, 15 - fraction)
    return regex.parse(rf"-?\d{{1,{whole}}}(?:\.\d{{1,{fraction}}})?")


def no_number(shape: Number) -> bool:
    """Whether no number can be in it; never True where one can."""
    low = _most(shape.low, shape.above)
    high = _least(shape.high, shape.below)
    if low is not None and high is not None:
        closed = low not in (shape.above,) and high not in (shape.below,)
        if low > high or (low == high and not closed):
            return True
        if shape.whole and high - low < 64:
            return digits(shape).empty
    return bool(shape.off) and digits(shape).empty


def no_text(shape: String) -> bool:
    if shape.most is not None and shape.least > shape.most:
        return True
    if shape.dfa is None:
        return False
    return shape.dfa.empty or ((shape.least > 0 or shape.most is not None) and characters(shape).empty)


def characters(shape: String) -> Dfa:
    """The language of a string, over code points."""
    dfa = shape.dfa if shape.dfa is not None else anything()
    if shape.least == 0 and shape.most is None:
        return dfa
    return _of_length(dfa, shape.least, shape.most, shape.where)


@lru_cache(256)
def _of_length(dfa: Dfa, least: int, most: int | None, where: str) -> Dfa:
    try:
        return intersect(dfa, json_text.length(least, most))
    except ConstraintError as error:
        raise ConstraintError(f"{where}: {error}") from None
