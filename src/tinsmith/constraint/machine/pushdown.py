"""A network made into one deterministic push-down automaton: no called rule accepts the empty text, and none
calls itself before a byte."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tinsmith.constraint.automata.dfa import MOST_STATES, Edge, Nfa, subsets
from tinsmith.constraint.machine.graphs import components, loops
from tinsmith.constraint.machine.network import CALLS, Call, Network
from tinsmith.errors import ConstraintError


class Step(NamedTuple):
    """A call: of the rule that begins with `enter`, least to most times (None: without end), then `leave`."""

    enter: int
    leave: int
    least: int
    most: int | None


class State(NamedTuple):
    accepts: bool
    edges: tuple[Edge, ...]  # over bytes
    calls: tuple[Step, ...]


def pushdown(network: Network) -> tuple[list[State], int]:
    """The states, and the one in which the text begins."""
    nullable = _skip_empty(network)
    rules = _Rules(network)
    _unwind(rules)
    # A called rule is entered where it does not accept; the text's own rule may.
    enters = [rules.enter(rule) for rule in range(len(rules.starts))]
    start = enters[0]
    if nullable[0] and start not in rules.accepts:
        start = rules.add([rules.edges[start]], {0})
    states = []
    for state, edges in enumerate(rules.edges):
        calls: list[Step] = []
        at = len(edges)
        while at and edges[at - 1][1] >= CALLS:
            at -= 1
        for low, high, target in edges[at:]:
            for symbol in range(low, high + 1):
                call = rules.calls[symbol - CALLS]
                calls.append(Step(enters[call.rule], target, call.least, call.most))
        states.append(State(state in rules.accepts, tuple(edges[:at]), tuple(calls)))
    return states, start


def _skip_empty(network: Network) -> list[bool]:
    """Which rules may be empty; a call of one becomes optional and its rule non-empty."""
    nfa, calls = network.nfa, network.calls
    nullable = [False] * len(network.starts)
    called: list[list[tuple[int, int]]] = [[] for _ in network.starts]  # by rule: from which state to which
    owners = {start: rule for rule, start in enumerate(network.starts)}
    finals = set(network.finals)
    for state, edges in enumerate(nfa.edges):
        for low, _, target in edges:
            if low >= CALLS:
                called[calls[low - CALLS].rule].append((state, target))
    # What the start of each rule reaches for nothing; skips added on the way go on from there.
    reached: list[set[int]] = [set() for _ in nfa.edges]  # by state: the starts that reach it
    waiting: list[tuple[int, int]] = [(start, start) for start in owners]
    while waiting:
        start, state = waiting.pop()
        if start in reached[state]:
            continue
        reached[state].add(start)
        waiting += [(start, target) for target in nfa.skips[state]]
        if state in finals and network.finals[owners[start]] == state and not nullable[owners[start]]:
            nullable[owners[start]] = True
            for source, target in called[owners[start]]:
                nfa.skip(source, target)
                waiting += [(one, target) for one in reached[source]]
    for number, call in enumerate(calls):
        if nullable[call.rule]:
            calls[number] = Call(call.rule, 1, call.most)
    return nullable


class _Rules:
    """All rules, deterministic, in one list of states."""

    def __init__(self, network: Network) -> None:
        self.calls = network.calls
        self.edges, self.starts, self.accepts = subsets(
            network.nfa, network.starts, network.finals, owner=network.owner
        )

    def add(self, edges: Iterable[Iterable[Edge]], accepts: Iterable[int], *, moved: bool = False) -> int:
        """More states, `accepts` of which accept; moved: edges count from the first. Its number."""
        base = len(self.edges)
        if moved:
            self.edges += [[(low, high, base + to) for low, high, to in out] for out in edges]
        else:
            self.edges += [list(out) for out in edges]
        if len(self.edges) > MOST_STATES:
            raise ConstraintError(f"the constraint needs more than {MOST_STATES:,} states; make bounds smaller")
        self.accepts.update(base + state for state in accepts)
        return base

    def enter(self, rule: int) -> int:
        """The start of the rule's non-empty texts."""
        start = self.starts[rule]
        if start in self.accepts:
            start = self.starts[rule] = self.add([self.edges[start]], set())
        return start

    def symbol(self, call: Call) -> int:
        if call not in self.calls:
            self.calls.append(call)
        return CALLS + self.calls.index(call)

    def first_calls(self, state: int) -> list[tuple[int, Call, int]]:
        """(symbol, call, where it leads) of a state."""
        return [
            (symbol, self.calls[symbol - CALLS], target)
            for low, high, target in self.edges[state]
            if low >= CALLS
            for symbol in range(low, high + 1)
        ]


def _unwind(rules: _Rules) -> None:
    """Left recursion, direct or by way of other rules, becomes a loop.

    In a cycle of rules that begin with one another, a text of A begins with an item from outside the cycle, in
    some member D. D continues to its end, which then begins some member C, and so on up to A. So one automaton
    has a copy of every member, with transitions from D's end to the state of C after D; A's text ends at A's
    end.
    """
    graph = [
        list(dict.fromkeys(call.rule for _, call, _ in rules.first_calls(start))) for start in rules.starts
    ]
    cycles = [sorted(component) for component in components(graph) if loops(graph, component)]
    news = {}
    for members in cycles:
        nfa, first, ends = _left_corners(rules, members)
        for rule in members:
            edges, _, accepts = subsets(nfa, (first,), (ends[rule],))
            news[rule] = rules.add(edges, accepts, moved=True)
    for rule, start in news.items():
        rules.starts[rule] = start


def _left_corners(rules: _Rules, members: list[int]) -> tuple[Nfa, int, dict[int, int]]:
    """The automaton of _unwind, its start, and by rule the state of its end. Calls keep their symbols."""
    nfa = Nfa()
    first = nfa.state()
    ends = {rule: nfa.state() for rule in members}
    copies: dict[int, int] = {}
    for rule in members:
        own = [rules.starts[rule]]
        copies[own[0]] = nfa.state()
        for state in own:
            for _, _, target in rules.edges[state]:
                if target not in copies:
                    copies[target] = nfa.state()
                    own.append(target)
        for state in own:
            for low, high, target in rules.edges[state]:
                nfa.edge(copies[state], low, high, copies[target])
            if state in rules.accepts:
                nfa.skip(copies[state], ends[rule])
    for rule in members:
        start = rules.starts[rule]
        for low, high, target in rules.edges[start]:
            if low < CALLS:
                nfa.edge(first, low, high, copies[target])
        for symbol, call, target in rules.first_calls(start):
            if call.rule not in ends:
                nfa.edge(first, symbol, symbol, copies[target])
                continue
            # Once is what has ended; the other times follow as calls.
            most = None if call.most is None else call.most - 1
            after = copies[target]
            if most != 0:
                after = nfa.state()
                other = rules.symbol(Call(call.rule, max(call.least - 1, 1), most))
                nfa.edge(after, other, other, copies[target])
                if call.least == 1:
                    nfa.skip(after, copies[target])
            nfa.skip(ends[call.rule], after)
    return nfa, first, ends
