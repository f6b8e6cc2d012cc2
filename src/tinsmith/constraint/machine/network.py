"""A grammar as a network of automata: one a rule, over bytes and calls of rules. Small rules, and those used
once, become part of the rules that use them: alternatives that begin alike are then told apart at once."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import pairwise

from tinsmith.constraint.automata.dfa import Nfa, Numbering
from tinsmith.constraint.grammar import (
    EMPTY,
    Choice,
    Expr,
    Grammar,
    Literal,
    Machine,
    Ref,
    Repeat,
    Sequence,
)
from tinsmith.constraint.machine.graphs import components, loops
from tinsmith.errors import ConstraintError

CALLS = 512  # symbols from here on are calls; far from the bytes, so that ranges of both never join
MOST_RULES = 50_000
MOST_PARTS = 250_000  # states before any are merged
SMALL = 8  # states of a rule that is not worth a call
UNROLLED = 64  # states of a repeat that is written out instead of counted


@dataclass(frozen=True)
class Call:
    """Of a rule (by number), least to most times, most None: without end; 1 <= least."""

    rule: int
    least: int
    most: int | None


@dataclass
class Network:
    """Symbols 0 to 255 are bytes, CALLS + k is calls[k]. starts, finals: a state each, by rule; rule 0 is the
    text's."""

    nfa: Nfa = field(default_factory=Nfa)
    starts: list[int] = field(default_factory=list)
    finals: list[int] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    names: list[str] = field(default_factory=list)  # by rule, for errors

    def owner(self, state: int) -> str:
        """The name of the rule that a state is of: states of a rule are numbered from its start on."""
        return self.names[bisect_right(self.starts, state) - 1]


def network(grammar: Grammar) -> Network:
    return _Builder(grammar).build()


class _Builder:
    def __init__(self, grammar: Grammar) -> None:
        self.rules = grammar.rules
        self.start = grammar.start
        self.name = grammar.start  # the current rule, for errors
        self.inlined: set[str] = set()
        self.sizes: dict[int, int] = {}  # states that an expression needs, by its id
        self.out = Network()
        self.numbers: dict[str | int, int] = {}  # of rules by name, of repeats' parts by id
        self.waiting: list[Expr] = []
        self.calls: Numbering[Call] = Numbering()
        self._plan()

    # Which rules are inlined

    def _plan(self) -> None:
        numbers = Numbering([self.start])
        reached = numbers.order  # rules that the start leads to
        graph: list[list[int]] = []
        uses = {self.start: 2}  # the whole text's rule stays one
        hosts: dict[str, str] = {}  # by a rule used once: the rule that uses it
        for name in reached:
            if len(reached) > MOST_RULES:
                raise ConstraintError(f"the grammar has more than {MOST_RULES:,} rules; split it")
            targets = []
            for used in self._refs(name):
                uses[used] = uses.get(used, 0) + 1
                hosts[used] = name
                targets.append(numbers[used])
            graph.append(list(dict.fromkeys(targets)))
        hosted: dict[str, str] = {}
        for component in components(graph):
            names = [reached[k] for k in sorted(component)]
            recursive = loops(graph, component)
            for name in names:
                if uses[name] == 1 and self._host(hosts[name], hosted) != name:
                    hosted[name] = hosts[name]
                    self.inlined.add(name)
            for name in names:
                self.name = name
                size = self._size(self.rules[name])
                if not recursive and size <= SMALL and name != self.start:
                    self.inlined.add(name)

    @staticmethod
    def _host(name: str, hosted: dict[str, str]) -> str:
        """The rule that a rule, inlined as decided so far, ends up in."""
        trail = []
        while name in hosted:
            trail.append(name)
            name = hosted[name]
        for passed in trail:
            hosted[passed] = name
        return name

    def _refs(self, name: str) -> list[str]:
        """The rules that a rule refers to, in order, as often as it does."""
        names: list[str] = []
        seen: set[int] = set()
        waiting: list[Expr] = [self.rules[name]]
        while waiting:
            expr = waiting.pop()
            if isinstance(expr, Ref):
                names.append(expr.name)
            elif id(expr) not in seen:
                seen.add(id(expr))
                if isinstance(expr, Sequence | Choice):
                    waiting += reversed(expr.parts)
                elif isinstance(expr, Repeat):
                    waiting.append(expr.part)
        return names

    def _size(self, expr: Expr) -> int:
        """States that an expression needs when written out; at least 1."""
        sizes = self.sizes
        waiting = [expr]
        while waiting:
            top = waiting[-1]
            if id(top) in sizes:
                waiting.pop()
                continue
            parts: tuple[Expr, ...] = ()
            size = 0
            if isinstance(top, Literal):
                size = len(top.data)
            elif isinstance(top, Machine):
                size = len(top.dfa.edges)
            elif isinstance(top, Sequence | Choice):
                parts = top.parts
            elif isinstance(top, Repeat):
                parts = (top.part,)
            elif isinstance(top, Ref) and top.name in self.inlined:
                parts = (self.rules[top.name],)
            missing = [part for part in parts if id(part) not in sizes]
            if missing:
                waiting += missing
                continue
            size += sum(sizes[id(part)] for part in parts)
            if isinstance(top, Repeat):
                copies = self._copies(top)
                size = 1 if copies > 1 and copies * size > UNROLLED else max(copies, 1) * size
            if size > MOST_PARTS:
                raise self._too_large()
            sizes[id(top)] = max(size, 1)
            waiting.pop()
        return sizes[id(expr)]

    def _too_large(self) -> ConstraintError:
        return ConstraintError(
            f"{self.name}: the constraint needs more than {MOST_PARTS:,} states before equal ones are merged; "
            "make this part smaller"
        )

    @staticmethod
    def _copies(repeat: Repeat) -> int:
        """How many times a repeat's part would be written out."""
        return max(repeat.least, 1) if repeat.most is None else repeat.most

    # The network

    def build(self) -> Network:
        self._rule(self.start, self.start, self.rules[self.start])
        nfa, out = self.out.nfa, self.out
        for number, expr in enumerate(self.waiting):
            self.name = out.names[number]
            if len(nfa.edges) > MOST_PARTS:
                raise self._too_large()
            start, final = nfa.state(), nfa.state()
            out.starts.append(start)
            out.finals.append(final)
            # A part adds paths from a source to a target, but no edge into the source or out of the target.
            parts = [(expr, start, final)]
            while parts:
                part, source, target = parts.pop()
                if isinstance(part, Sequence):
                    states = [source, *(nfa.state() for _ in part.parts[1:]), target]
                    pieces = part.parts or (EMPTY,)
                    parts += [(piece, a, b) for piece, (a, b) in zip(pieces, pairwise(states), strict=True)]
                elif isinstance(part, Choice):
                    parts += [(one, source, target) for one in part.parts]
                elif isinstance(part, Repeat):
                    parts += self._repeat(part, source, target)
                elif isinstance(part, Ref):
                    if part.name in self.inlined:
                        parts.append((self.rules[part.name], source, target))
                        continue
                    rule = self._rule(part.name, part.name, self.rules[part.name])
                    if rule == number and target == final:
                        nfa.skip(source, start)  # a rule that ends with itself is a loop
                    else:
                        self._call(rule, 1, 1, source, target)
                else:
                    self._leaf(part, source, target)
        out.calls = self.calls.order
        return out

    def _rule(self, key: str | int, name: str, expr: Expr) -> int:
        number = self.numbers.get(key)
        if number is None:
            number = self.numbers[key] = len(self.waiting)
            self.out.names.append(name)
            self.waiting.append(expr)
        return number

    def _call(self, rule: int, least: int, most: int | None, source: int, target: int) -> None:
        symbol = CALLS + self.calls[Call(rule, least, most)]
        self.out.nfa.edge(source, symbol, symbol, target)

    def _leaf(self, part: Expr, source: int, target: int) -> None:
        nfa = self.out.nfa
        if isinstance(part, Literal):
            states = [source, *(nfa.state() for _ in part.data[1:]), target]
            for byte, (a, b) in zip(part.data, pairwise(states), strict=False):
                nfa.edge(a, byte, byte, b)
            if not part.data:
                nfa.skip(source, target)
        elif isinstance(part, Machine):
            nfa.add(part.dfa, source, target)

    def _repeat(self, repeat: Repeat, source: int, target: int) -> list[tuple[Expr, int, int]]:
        nfa, part, least, most = self.out.nfa, repeat.part, repeat.least, repeat.most
        copies = self._copies(repeat)
        if most == 0:
            nfa.skip(source, target)
            return []
        if copies > 1 and copies * self._size(part) > UNROLLED:
            if least == 0:
                nfa.skip(source, target)
            if isinstance(part, Ref) and part.name not in self.inlined:
                rule = self._rule(part.name, part.name, self.rules[part.name])
            else:
                rule = self._rule(id(part), self.name, part)
            self._call(rule, max(least, 1), most, source, target)
            return []
        if most == 1:
            if least == 0:
                nfa.skip(source, target)
            return [(part, source, target)]
        if most is None:
            # source ─▶ … ─▶ loop ─ part ─▶ after, and from there back to loop, or on.
            states = [source, *(nfa.state() for _ in range(least - 1))]
            loop, after = nfa.state(), nfa.state()
            nfa.skip(states[-1], loop)
            nfa.skip(after, loop)
            nfa.skip(after if least else loop, target)
            return [*((part, a, b) for a, b in pairwise(states)), (part, loop, after)]
        states = [source, *(nfa.state() for _ in range(most))]
        for state in states[least:]:
            nfa.skip(state, target)
        return [(part, a, b) for a, b in pairwise(states)]
