"""From shapes to expressions of a grammar.

A goal that has arrays or objects in it is a rule, so that recursion and deep nesting cost nothing here; goals of the
same shapes share one. The parts of an object or array stand in one expression wherever they can, since then the
automaton tells keys apart letter by letter; where counts, sets or orders have to be remembered, each state is a rule.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal as OneOf

from tinsmith.compiler.constraint import json_text
from tinsmith.compiler.constraint.dfa import Dfa, anything, difference, words
from tinsmith.compiler.constraint.grammar import (
    EMPTY,
    NOTHING,
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
from tinsmith.compiler.constraint.schema_shapes import (
    ANY,
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
    digits,
    item,
)
from tinsmith.compiler.constraint.schema_solver import Solver
from tinsmith.errors import ConstraintError

MOST_RULES = 20_000
MOST_STATES = 2_000  # of what has to remember counts, sets or orders
MOST_STEPS = 12_000  # between them
MOST_FREE = 8  # declared properties in any order: 2 ** 8 sets of them
MOST_WORDS = 64  # keys of a pattern that are taken for declared ones
MANY = 32  # texts of an enum
LEVELS = 16  # of nested options in one expression

Order = OneOf["schema", "free"]
State = Hashable
Moves = Callable[[State], Iterable[tuple[Expr, State]]]


@dataclass(frozen=True)
class Options:
    """spacing: of what is written. order: of declared properties. closed: an object that declares properties and
    says nothing about further ones has none."""

    spacing: json_text.Spacing = "compact"
    order: Order = "schema"
    closed: bool = False


@dataclass(frozen=True)
class Pair:
    """A declared property: key, colon and value."""

    expr: Expr
    required: bool


class Builder:
    def __init__(self, grammar: Grammar, solver: Solver, options: Options) -> None:
        self.grammar, self.solver, self.options = grammar, solver, options
        self.marks = json_text.marks(options.spacing)
        self._values: dict[Goal, Expr] = {}
        self._same: dict[Shapes, Expr] = {}
        self._waiting: list[tuple[str, Shapes]] = []
        self._counts: dict[str, int] = {}  # rules of a name so far

    def build(self, goal: Goal) -> Expr:
        """The expression of a goal; adds the rules that it refers to."""
        found = self.value(goal)
        while self._waiting:
            name, shapes = self._waiting.pop()
            self.grammar.rules[name] = choice(self._part(shape, name) for shape in shapes)
        return found

    def value(self, goal: Goal) -> Expr:
        found = self._values.get(goal)
        if found is None:
            found = self._values[goal] = self._of_shapes(goal, self.solver.shapes(goal))
        return found

    def _of_shapes(self, goal: Goal, shapes: Shapes) -> Expr:
        if shapes == ANY:
            return Ref(json_text.value_rule(self.options.spacing))
        found = self._same.get(shapes)
        if found is None:
            if any(isinstance(shape, Array | Object) for shape in shapes):
                name = self._name(self.solver.document.nodes[abs(goal[0])].path)
                self._waiting.append((name, shapes))
                found = Ref(name)
            else:
                found = choice(self._part(shape, "") for shape in shapes)
            self._same[shapes] = found
        return found

    def _name(self, name: str) -> str:
        """A name for a new rule."""
        rules = self.grammar.rules
        if len(rules) >= MOST_RULES:
            raise ConstraintError(f"{name}: the schema needs more than {MOST_RULES:,} rules; make it smaller")
        found = name
        while found in rules:
            self._counts[name] = self._counts.get(name, 1) + 1
            found = f"{name} {self._counts[name]}"
        rules[found] = NOTHING  # taken, until it is built
        return found

    def _part(self, shape: Shape, name: str) -> Expr:
        if shape.refused:
            raise ConstraintError(shape.refused)
        if isinstance(shape, Finite):
            return _values(shape, self.options.spacing)
        if isinstance(shape, Number):
            return _number(shape)
        if isinstance(shape, String):
            return _string(shape)
        if isinstance(shape, Array):
            return self._unique(shape, name) if shape.unique else self._array(shape, name)
        assert isinstance(shape, Object)
        return self._object(_spelled(shape), name)

    def _bracketed(self, brackets: str, body: Expr, may_be_empty: bool) -> Expr:
        """body: at least one part."""
        opening, closing, pad = text(brackets[0]), text(brackets[1]), self.marks.pad
        full = sequence((opening, pad, body, pad, closing))
        return choice((full, sequence((opening, pad, closing)))) if may_be_empty else full

    def _then(self, part: Expr) -> Expr:
        return sequence((self.marks.item, part))

    # Arrays

    def _array(self, shape: Array, name: str) -> Expr:
        most = shape.most
        parts: list[Expr] = []
        for goal in shape.prefix[:most]:
            if not self.solver.shapes(goal):
                most = len(parts)
                break
            parts.append(self.value(goal))
        count = len(parts)
        rest: Expr = EMPTY
        if most is None or most > count:
            if self.solver.shapes(shape.rest):
                rest = self.value(shape.rest)
            else:
                most = count
        if most is not None and most < shape.least:
            return NOTHING
        if most == 0:
            return self._bracketed("[]", NOTHING, True)
        first = parts[0] if parts else rest
        count = max(count, 1)
        tail: Expr = EMPTY
        if most is None or most > count:
            tail = Repeat(self._then(rest), max(shape.least - count, 0), None if most is None else most - count)
        for k in range(len(parts) - 1, 0, -1):
            tail = self._then(sequence((parts[k], tail)))
            if k >= shape.least:
                tail = optional(tail)
                if k % LEVELS == 0:
                    tail = self._rule(name, tail)
        return self._bracketed("[]", sequence((first, tail)), shape.least == 0)

    def _rule(self, name: str, expr: Expr) -> Expr:
        found = self._name(name)
        self.grammar.rules[found] = expr
        return Ref(found)

    def _unique(self, shape: Array, name: str) -> Expr:
        """All items different: the set of those that were written is remembered."""
        if shape.most is not None and shape.most <= 1:
            return self._array(shape, name)
        lists: dict[Goal, list[Item]] = {}
        last = len(shape.prefix) + 1 if shape.most is None else min(shape.most, len(shape.prefix) + 1)
        for k in range(last):
            lists.setdefault(shape.item(k), self._finite(shape, shape.item(k)))
        bits = {
            one.key: 1 << k
            for k, one in enumerate({one.key: one for items in lists.values() for one in items}.values())
        }
        written = {
            one.key: json_text.literal(one.value, self.options.spacing)
            for items in lists.values()
            for one in items
        }

        def moves(state: State) -> Iterable[tuple[Expr, State]]:
            assert isinstance(state, int)
            count = state.bit_count()
            if shape.most is None or count < shape.most:
                for one in lists[shape.item(count)]:
                    if not state & bits[one.key]:
                        yield written[one.key], state | bits[one.key]

        return self._walk(
            "[]", name, 0, moves, lambda state: state.bit_count() >= shape.least, f"{shape.where}/uniqueItems"
        )  # type: ignore[attr-defined]

    def _finite(self, shape: Array, goal: Goal) -> list[Item]:
        found: list[Item] = []
        for one in self.solver.shapes(goal):
            if isinstance(one, Finite):
                found += one.values
                continue
            if (
                isinstance(one, Number)
                and one.whole
                and one.low is not None
                and one.high is not None
                and not one.refused
            ):
                if one.high - one.low < MOST_WORDS:
                    values = range(int(one.low) - 1, int(one.high) + 2)
                    found += [item(value) for value in values if self.solver.admits(one, value)]
                    continue
            raise ConstraintError(
                f"{shape.where}/uniqueItems: 'uniqueItems' can only be enforced where items are an enum, a const, booleans "
                "or integers of a small range; give one of these, or remove it"
            )
        return found

    # Objects

    def _object(self, shape: Object, name: str) -> Expr:
        closed = self.options.closed and shape.implicit and bool(shape.known)
        pairs = []
        for key, goal in shape.known:
            if self.solver.shapes(goal):
                pair = sequence((json_text.literal(key), self.marks.key, self.value(goal)))
                pairs.append(Pair(pair, key in shape.required))
            elif key in shape.required:
                return NOTHING
        names = frozenset(key for key, _ in shape.known)
        others = (
            [] if closed else [self._others(dfa, goal, names) for dfa, goal in shape.regions if goal != NEVER]
        )
        extra = choice(part for part in others if part is not NOTHING)
        required = sum(pair.required for pair in pairs)
        has_extra = extra is not NOTHING and bool(others) and not _is_nothing(extra)
        if has_extra and shape.least >= required + 2:
            raise ConstraintError(
                f"{shape.where}/minProperties: {shape.least} properties can't be enforced where keys are free, since one may "
                f"be written twice; give at most {required + 1}, or declare the properties and give "
                "'additionalProperties': false"
            )
        most = shape.most if shape.most is not None and (has_extra or shape.most < len(pairs)) else None
        if shape.least > len(pairs) + has_extra or (most is not None and most < max(required, shape.least)):
            return NOTHING
        if self.options.order == "free" and len(pairs) + has_extra > 1:
            return self._any_order(shape, pairs, extra if has_extra else None, most, name)
        if most is None and shape.least <= max(required, 1):
            body = self._chain(pairs, extra if has_extra else None, name)
            may_be_empty = shape.least == 0 and required == 0
            return self._bracketed("{}", body, may_be_empty)
        return self._counted(shape, pairs, extra if has_extra else None, most, name)

    def _others(self, dfa: Dfa | None, goal: Goal, names: frozenset[str]) -> Expr:
        """A key that is not among the names, and its value."""
        if not self.solver.shapes(goal):
            return NOTHING
        keys = _keys(dfa, names)
        return sequence((json_text.string(keys), self.marks.key, self.value(goal)))

    def _chain(self, pairs: list[Pair], extra: Expr | None, name: str) -> Expr:
        """At least one pair, in order, with its commas: each pair stands in it once or twice."""
        more = Repeat(self._then(extra)) if extra is not None else EMPTY
        first = next((k for k, pair in enumerate(pairs) if pair.required), None)
        if first is not None:
            before = [optional(sequence((pair.expr, self.marks.item))) for pair in pairs[:first]]
            after = [
                self._then(pair.expr) if pair.required else optional(self._then(pair.expr))
                for pair in pairs[first + 1 :]
            ]
            return sequence((*before, pairs[first].expr, *after, more))
        grown: Expr = NOTHING
        for k, pair in enumerate(pairs):
            grown = choice((sequence((grown, optional(self._then(pair.expr)))), pair.expr)) if k else pair.expr
            if k % LEVELS == LEVELS - 1:
                grown = self._rule(name, grown)
        if extra is not None:
            only = sequence((extra, more))
            grown = choice((sequence((grown, more)), only)) if pairs else only
        return grown

    def _counted(
        self, shape: Object, pairs: list[Pair], extra: Expr | None, most: int | None, name: str
    ) -> Expr:
        """In order; how many pairs were written is remembered."""
        needed = [k for k, pair in enumerate(pairs) if pair.required]

        def moves(state: State) -> Iterable[tuple[Expr, State]]:
            at, count, extras = state  # type: ignore[misc]
            if most is not None and count + extras >= most:
                return
            last = next((k for k in needed if k >= at), None)
            for k in range(at, len(pairs) if last is None else last + 1):
                yield pairs[k].expr, (k + 1, count + 1, 0)
            if extra is not None and last is None:
                yield extra, (len(pairs), count, extras + 1 if most is not None else 1)

        def ends(state: State) -> bool:
            at, count, extras = state  # type: ignore[misc]
            return not any(k >= at for k in needed) and count + bool(extras) >= shape.least

        return self._walk("{}", name, (0, 0, 0), moves, ends, shape.where)

    def _any_order(
        self, shape: Object, pairs: list[Pair], extra: Expr | None, most: int | None, name: str
    ) -> Expr:
        """The set of pairs that were written is remembered."""
        if len(pairs) > MOST_FREE:
            raise ConstraintError(
                f"{shape.where}: {len(pairs)} properties in any order are too many; at most {MOST_FREE} are allowed with "
                "order='free'; give order='schema'"
            )
        needed = sum(1 << k for k, pair in enumerate(pairs) if pair.required)
        counts = most is not None or shape.least > needed.bit_count()

        def moves(state: State) -> Iterable[tuple[Expr, State]]:
            written, extras = state  # type: ignore[misc]
            if most is not None and written.bit_count() + extras + (needed & ~written).bit_count() > most:
                return
            for k, pair in enumerate(pairs):
                if not written >> k & 1:
                    yield pair.expr, (written | 1 << k, extras)
            if extra is not None:
                yield extra, (written, 0 if not counts else extras + 1 if most is not None else 1)

        def ends(state: State) -> bool:
            written, extras = state  # type: ignore[misc]
            count = written.bit_count()
            fits = most is None or count + extras <= most
            return written & needed == needed and fits and count + bool(extras) >= shape.least

        return self._walk("{}", name, (0, 0), moves, ends, shape.where)

    def _walk(
        self, brackets: str, name: str, start: State, moves: Moves, ends: Callable[[State], bool], where: str
    ) -> Expr:
        """Parts in brackets, whose order is that of a walk over states: one rule for each."""
        opening, closing, pad = text(brackets[0]), text(brackets[1]), self.marks.pad
        names: dict[State, str] = {}
        order: list[State] = []
        steps = 0

        def parts(state: State) -> list[Expr]:
            nonlocal steps
            found = []
            for part, target in moves(state):
                if target not in names:
                    names[target] = self._name(name)
                    order.append(target)
                found.append(sequence((part, Ref(names[target]))))
            steps += len(found)
            if len(order) > MOST_STATES or steps > MOST_STEPS:
                raise ConstraintError(
                    f"{where}: what has to be remembered takes more than {MOST_STATES:,} states or {MOST_STEPS:,} steps "
                    "between them; give fewer values, fewer properties or smaller bounds"
                )
            return found

        first = sequence((opening, pad, choice(parts(start))))
        for state in order:
            last = [sequence((pad, closing))] if ends(state) else []
            self.grammar.rules[names[state]] = choice([*last, *map(self._then, parts(state))])
        return choice((first, sequence((opening, pad, closing)))) if ends(start) else first


def _is_nothing(expr: Expr) -> bool:
    return expr is NOTHING or (hasattr(expr, "parts") and not expr.parts)


def _values(shape: Finite, spacing: json_text.Spacing) -> Expr:
    """One of many texts is built as one automaton: a choice of literals would be put together state by state."""
    if len(shape.values) < MANY or not all(isinstance(one.value, str) for one in shape.values):
        return choice(json_text.literal(one.value, spacing) for one in shape.values)
    texts = {json.dumps(one.value, ensure_ascii=plain) for one in shape.values for plain in (True, False)}
    return Machine(words(text.encode() for text in sorted(texts)))


def _number(shape: Number) -> Expr:
    try:
        if shape.off or len(shape.steps) > 1:
            return Machine(digits(shape))
        make = json_text.integer if shape.whole else json_text.number
        step = next(iter(shape.steps), None)
        return make(shape.low, shape.high, above=shape.above, below=shape.below, step=step)
    except ConstraintError as error:
        raise ConstraintError(f"{shape.where}: {error}") from None


def _string(shape: String) -> Expr:
    if shape.dfa is not None:
        found = characters(shape)
        try:
            return json_text.string(found)
        except ConstraintError as error:
            raise ConstraintError(f"{shape.where}: {error}") from None
    if shape.least == 0 and shape.most is None:
        return json_text.string()
    return json_text.string_length(shape.least, shape.most)


@lru_cache(256)
def _keys(dfa: Dfa | None, names: frozenset[str]) -> Dfa | None:
    """Without these names."""
    if not names:
        return dfa
    return difference(
        dfa if dfa is not None else anything(), words([ord(c) for c in name] for name in sorted(names))
    )


def _spelled(shape: Object) -> Object:
    """With the keys of a region of a few words declared: they can be counted then."""
    known, regions = dict(shape.known), []
    for dfa, goal in shape.regions:
        found = _few(dfa) if dfa is not None and goal != NEVER else None
        if found is None:
            regions.append((dfa, goal))
        else:
            known |= {word: goal for word in found if word not in known}
    return replace(shape, known=tuple(known.items()), regions=tuple(regions))


@lru_cache(256)
def _few(dfa: Dfa) -> tuple[str, ...] | None:
    """All texts of an automaton, where they are few."""
    found: list[str] = []
    waiting = [(0, "")]
    steps = 0
    while waiting:
        state, word = waiting.pop()
        steps += 1
        if state in dfa.accepts:
            found.append(word)
        size = sum(high - low + 1 for low, high, _ in dfa.edges[state])
        if (
            size + len(waiting) > MOST_WORDS
            or steps > 64 * MOST_WORDS
            or len(found) > MOST_WORDS
            or len(word) > 200
        ):
            return None
        waiting += [
            (to, word + chr(code)) for low, high, to in dfa.edges[state] for code in range(low, high + 1)
        ]
    return tuple(sorted(found))
