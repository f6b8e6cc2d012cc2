"""From shapes to expressions of a grammar.

A goal that has arrays or objects in it is a rule, so that recursion and deep nesting cost nothing here; goals
of the same shapes share one. The parts of an object or array stand in one expression wherever they can, since
then the automaton tells keys apart letter by letter. Where it has to be remembered which parts were written, or
how many, each state of that memory is a rule (`walk`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Literal as OneOf
from typing import TypeVar, get_args

from tinsmith.constraint.automata.dfa import words
from tinsmith.constraint.grammar import NOTHING, Expr, Grammar, Machine, Ref, choice, sequence, text
from tinsmith.constraint.schema import json_text
from tinsmith.constraint.schema.shapes import (
    ANY,
    Array,
    Finite,
    Goal,
    Number,
    Object,
    Shape,
    Shapes,
    String,
    characters,
    digits,
)
from tinsmith.constraint.schema.solver import Solver
from tinsmith.errors import ConstraintError

MOST_RULES = 20_000
MOST_STATES = 2_000  # of a walk
MOST_STEPS = 12_000  # between them
MANY = 32  # texts of an enum

Order = OneOf["schema", "free"]
State = TypeVar("State", bound=Hashable)
Moves = Callable[[State], Iterable[tuple[Expr, State]]]
Of = TypeVar("Of", Array, Object)
Writing = Callable[["Builder", Of, str], Expr]


@dataclass(frozen=True)
class Options:
    """spacing: of the JSON text. order: of declared properties. closed: an object that declares properties has
    no others, unless its schema allows them."""

    spacing: json_text.Spacing = "compact"
    order: Order = "schema"
    closed: bool = False

    def __post_init__(self) -> None:
        for name, given, known in (("spacing", self.spacing, json_text.Spacing), ("order", self.order, Order)):
            if given not in get_args(known):
                raise ConstraintError(f"{name} is {given!r}; give one of {', '.join(get_args(known))}")


class Builder:
    """array, object_: the expressions of such shapes, named for the rules that they add."""

    def __init__(
        self,
        grammar: Grammar,
        solver: Solver,
        options: Options,
        *,
        array: Writing[Array],
        object_: Writing[Object],
    ) -> None:
        self.grammar, self.solver, self.options = grammar, solver, options
        self._array, self._object = array, object_
        self.marks = json_text.marks(options.spacing)
        self._values: dict[Goal, Expr | None] = {}
        self._same: dict[Shapes, Expr] = {}
        self._waiting: list[tuple[str, Shapes]] = []
        self._counts: dict[str, int] = {}  # rules of a name so far

    def build(self, goal: Goal) -> Expr:
        """The expression of a satisfiable goal; adds the rules that it refers to."""
        expr = self.value(goal) or NOTHING
        while self._waiting:
            name, shapes = self._waiting.pop()
            self.grammar.rules[name] = choice(self._part(shape, name) for shape in shapes)
        return expr

    def value(self, goal: Goal) -> Expr | None:
        """None: nothing satisfies it."""
        if goal not in self._values:
            shapes = self.solver.shapes(goal)
            self._values[goal] = self._of_shapes(goal, shapes) if shapes else None
        return self._values[goal]

    def _of_shapes(self, goal: Goal, shapes: Shapes) -> Expr:
        if shapes == ANY:
            return Ref(json_text.value_rule(self.options.spacing))
        expr = self._same.get(shapes)
        if expr is None:
            if any(isinstance(shape, Array | Object) for shape in shapes):
                name = self.name(self.solver.document.nodes[abs(goal[0])].path)
                self._waiting.append((name, shapes))
                expr = Ref(name)
            else:
                expr = choice(self._part(shape, "") for shape in shapes)
            self._same[shapes] = expr
        return expr

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
            return self._array(self, shape, name)
        assert isinstance(shape, Object)
        return self._object(self, shape, name)

    def name(self, name: str) -> str:
        """A name for a new rule."""
        rules = self.grammar.rules
        if len(rules) >= MOST_RULES:
            raise ConstraintError(f"{name}: the schema needs more than {MOST_RULES:,} rules; make it smaller")
        free_name = name
        while free_name in rules:
            self._counts[name] = self._counts.get(name, 1) + 1
            free_name = f"{name} {self._counts[name]}"
        rules[free_name] = NOTHING  # taken, until it is built
        return free_name

    def rule(self, name: str, expr: Expr) -> Expr:
        """The same expression as a rule: where it is used once, only to keep expressions flat."""
        free_name = self.name(name)
        self.grammar.rules[free_name] = expr
        return Ref(free_name)

    def then(self, part: Expr) -> Expr:
        return sequence((self.marks.item, part))

    def bracketed(self, brackets: str, body: Expr | None, may_be_empty: bool) -> Expr:
        """body: one part or more; None: none can be."""
        opening, closing, pad = text(brackets[0]), text(brackets[1]), self.marks.pad
        full = [] if body is None else [sequence((opening, pad, body, pad, closing))]
        return choice([*full, sequence((opening, pad, closing))] if may_be_empty else full)

    def walk(
        self,
        brackets: str,
        name: str,
        start: State,
        moves: Moves[State],
        ends: Callable[[State], bool],
        where: str,
    ) -> Expr:
        """Parts in brackets, one rule per state; a state records the parts written so far."""
        closing = sequence((self.marks.pad, text(brackets[1])))
        names: dict[State, str] = {}
        order: list[State] = []
        steps = 0

        def parts(state: State) -> list[Expr]:
            nonlocal steps
            exprs = []
            for part, target in moves(state):
                if target not in names:
                    names[target] = self.name(name)
                    order.append(target)
                exprs.append(sequence((part, Ref(names[target]))))
            steps += len(exprs)
            if len(order) > MOST_STATES or steps > MOST_STEPS:
                raise ConstraintError(
                    f"{where}: to remember what was written takes more than {MOST_STATES:,} states or "
                    f"{MOST_STEPS:,} steps; give fewer values, fewer properties or smaller bounds"
                )
            return exprs

        first = sequence((text(brackets[0]), self.marks.pad, choice(parts(start))))
        for state in order:
            last = [closing] if ends(state) else []
            self.grammar.rules[names[state]] = choice([*last, *map(self.then, parts(state))])
        return choice((first, sequence((text(brackets[0]), closing)))) if ends(start) else first


def _values(shape: Finite, spacing: json_text.Spacing) -> Expr:
    """Compiles many texts to one automaton, which is faster than a choice of literals."""
    if len(shape.values) < MANY or not all(isinstance(one.value, str) for one in shape.values):
        return choice(json_text.literal(one.value, spacing) for one in shape.values)
    texts = {json.dumps(one.value, ensure_ascii=plain) for one in shape.values for plain in (True, False)}
    return Machine(words(text.encode() for text in sorted(texts)))


def _number(shape: Number) -> Expr:
    if shape == Number(whole=shape.whole):
        return Ref(json_text.INTEGER if shape.whole else json_text.NUMBER)
    try:
        return json_text.machine(digits(shape))
    except ConstraintError as error:
        raise ConstraintError(f"{shape.where}: {error}") from None


def _string(shape: String) -> Expr:
    if shape.dfa is not None:
        dfa = characters(shape)
        try:
            return json_text.string(dfa)
        except ConstraintError as error:
            raise ConstraintError(f"{shape.where}: {error}") from None
    if shape.least == 0 and shape.most is None:
        return json_text.string()
    return json_text.string_length(shape.least, shape.most)
