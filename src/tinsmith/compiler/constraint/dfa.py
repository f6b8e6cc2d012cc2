"""Finite automata over ranges of whole numbers: bytes, code points, or bytes and the calls of a rule."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tinsmith.errors import ConstraintError

Edge = tuple[int, int, int]  # low, high, target

MOST_STATES = 60_000
CODE_POINTS = 0x10FFFF


@dataclass(frozen=True, eq=False)
class Dfa:
    """edges[s]: (low, high, target) ascending and disjoint; what has no edge is refused. State 0 is the start."""

    edges: tuple[tuple[Edge, ...], ...]
    accepts: frozenset[int]

    def step(self, state: int, symbol: int) -> int | None:
        edges = self.edges[state]
        k = bisect_right(edges, (symbol, 1 << 62, 0)) - 1
        return edges[k][2] if k >= 0 and edges[k][0] <= symbol <= edges[k][1] else None

    def accepts_all(self, symbols: Iterable[int]) -> bool:
        state: int | None = 0
        for symbol in symbols:
            state = self.step(state, symbol) if state is not None else None
        return state in self.accepts

    @property
    def empty(self) -> bool:
        """Whether it accepts nothing (of a trimmed automaton, such as all functions here return)."""
        return not self.accepts


class Nfa:
    """edges[s]: (low, high, target) in any order; skips[s]: states reached for nothing."""

    def __init__(self) -> None:
        self.edges: list[list[Edge]] = []
        self.skips: list[list[int]] = []

    def state(self) -> int:
        self.edges.append([])
        self.skips.append([])
        return len(self.edges) - 1

    def edge(self, source: int, low: int, high: int, target: int) -> None:
        self.edges[source].append((low, high, target))

    def skip(self, source: int, target: int) -> None:
        self.skips[source].append(target)

    def add(self, dfa: Dfa, source: int, target: int) -> None:
        """A copy of an automaton, from `source` to `target`."""
        base = len(self.edges)
        for edges in dfa.edges:
            self.edges.append([(low, high, base + to) for low, high, to in edges])
            self.skips.append([])
        self.skips[source].append(base)
        for state in dfa.accepts:
            self.skips[base + state].append(target)


def determinize(nfa: Nfa, start: int, accepts: Iterable[int], limit: int = MOST_STATES) -> Dfa:
    """The subset construction, without states that lead nowhere. ConstraintError beyond `limit` states."""
    final = frozenset(accepts)
    closures: dict[int, frozenset[int]] = {}

    def closure(states: Iterable[int]) -> frozenset[int]:
        found: set[int] = set()
        for state in states:
            one = closures.get(state)
            if one is None:
                one = closures[state] = _reach(nfa.skips, state)
            found |= one
        return frozenset(found)

    first = closure((start,))
    numbers = {first: 0}
    waiting = [first]
    edges: list[list[Edge]] = []
    targets: dict[frozenset[int], int] = {}
    for subset in waiting:
        leaving = [edge for state in subset for edge in nfa.edges[state]]
        out: list[Edge] = []
        for low, high, reached in _split(leaving):
            number = targets.get(reached)
            if number is None:
                target = closure(reached)
                number = numbers.get(target)
                if number is None:
                    number = numbers[target] = len(numbers)
                    if number >= limit:
                        raise ConstraintError(
                            f"a part of the constraint needs more than {limit:,} states; make its bounds smaller"
                        )
                    waiting.append(target)
                targets[reached] = number
            if out and out[-1][1] == low - 1 and out[-1][2] == number:
                out[-1] = (out[-1][0], high, number)
            else:
                out.append((low, high, number))
        edges.append(out)
    return trim(edges, {numbers[subset] for subset in waiting if not final.isdisjoint(subset)})


def _reach(skips: Sequence[Sequence[int]], state: int) -> frozenset[int]:
    if not skips[state]:
        return frozenset((state,))
    found, waiting = {state}, [state]
    while waiting:
        for target in skips[waiting.pop()]:
            if target not in found:
                found.add(target)
                waiting.append(target)
    return frozenset(found)


def _split(edges: list[Edge]) -> list[tuple[int, int, frozenset[int]]]:
    """Disjoint ranges, ascending, each with the targets of all edges that cover it."""
    if len(edges) == 1:
        low, high, target = edges[0]
        return [(low, high, frozenset((target,)))]
    marks: dict[int, list[tuple[int, int]]] = {}
    for low, high, target in edges:
        marks.setdefault(low, []).append((target, 1))
        marks.setdefault(high + 1, []).append((target, -1))
    found: list[tuple[int, int, frozenset[int]]] = []
    active: dict[int, int] = {}
    before = 0
    for at in sorted(marks):
        if active:
            found.append((before, at - 1, frozenset(active)))
        for target, change in marks[at]:
            count = active.get(target, 0) + change
            if count:
                active[target] = count
            else:
                del active[target]
        before = at
    return found


def trim(edges: Sequence[Iterable[Edge]], accepts: Iterable[int]) -> Dfa:
    """Without states that no accepting one follows, or that the start does not reach."""
    accepts = set(accepts)
    sources: list[list[int]] = [[] for _ in edges]
    for state, out in enumerate(edges):
        for _, _, target in out:
            sources[target].append(state)
    alive, waiting = set(accepts), list(accepts)
    while waiting:
        for source in sources[waiting.pop()]:
            if source not in alive:
                alive.add(source)
                waiting.append(source)
    numbers = {0: 0}
    order = [0]
    kept: list[tuple[Edge, ...]] = []
    for state in order:
        out = []
        for low, high, target in edges[state]:
            if target in alive:
                if target not in numbers:
                    numbers[target] = len(order)
                    order.append(target)
                out.append((low, high, numbers[target]))
        kept.append(tuple(out))
    return Dfa(tuple(kept), frozenset(numbers[state] for state in accepts if state in numbers))


def minimize(dfa: Dfa) -> Dfa:
    """The smallest automaton of the same language: Moore's refinement, over the edges that are there."""
    group = [int(state in dfa.accepts) for state in range(len(dfa.edges))]
    count = len(set(group))
    while True:
        seen: dict[object, int] = {}
        new = [
            seen.setdefault((group[state], _signature(edges, group)), len(seen))
            for state, edges in enumerate(dfa.edges)
        ]
        if len(seen) == count:
            break
        group, count = new, len(seen)
    if count == len(dfa.edges):
        return dfa
    first: dict[int, int] = {}
    for state, number in enumerate(group):
        first.setdefault(number, state)
    # The start stays number 0: groups are numbered in the order of their first state.
    renumbered = {number: k for k, number in enumerate(first)}
    edges = [_signature(dfa.edges[state], [renumbered[g] for g in group]) for state in first.values()]
    return trim(edges, {renumbered[group[state]] for state in dfa.accepts})


def _signature(edges: Iterable[Edge], group: Sequence[int]) -> tuple[Edge, ...]:
    """The edges with groups for targets, neighbours joined."""
    out: list[Edge] = []
    for low, high, target in edges:
        number = group[target]
        if out and out[-1][1] == low - 1 and out[-1][2] == number:
            out[-1] = (out[-1][0], high, number)
        else:
            out.append((low, high, number))
    return tuple(out)


def _product(a: Dfa, b: Dfa, keep: Callable[[bool, bool], bool], limit: int) -> Dfa:
    """Both at once; None stands for the state of what is refused."""
    Pair = tuple[int | None, int | None]
    numbers: dict[Pair, int] = {(0, 0): 0}
    order: list[Pair] = [(0, 0)]
    edges: list[list[Edge]] = []
    accepts: set[int] = set()
    alone_a, alone_b = keep(True, False), keep(False, True)
    for number, (x, y) in enumerate(order):
        if keep(x in a.accepts, y in b.accepts):
            accepts.add(number)
        marked = [(low, high, 2 * to) for low, high, to in (a.edges[x] if x is not None else ())]
        marked += [(low, high, 2 * to + 1) for low, high, to in (b.edges[y] if y is not None else ())]
        out: list[Edge] = []
        for low, high, targets in _split(marked) if marked else ():
            pair: Pair = (
                next((t // 2 for t in targets if t % 2 == 0), None),
                next((t // 2 for t in targets if t % 2), None),
            )
            if (pair[0] is None and not alone_b) or (pair[1] is None and not alone_a):
                continue
            if pair not in numbers:
                numbers[pair] = len(order)
                order.append(pair)
                if len(order) > limit:
                    raise ConstraintError(
                        f"two conditions together need more than {limit:,} states; make their bounds smaller"
                    )
            out.append((low, high, numbers[pair]))
        edges.append(out)
    return minimize(trim(edges, accepts))


def intersect(a: Dfa, b: Dfa, limit: int = MOST_STATES) -> Dfa:
    return _product(a, b, lambda x, y: x and y, limit)


def union(a: Dfa, b: Dfa, limit: int = MOST_STATES) -> Dfa:
    return _product(a, b, lambda x, y: x or y, limit)


def difference(a: Dfa, b: Dfa, limit: int = MOST_STATES) -> Dfa:
    """What a accepts and b does not."""
    return _product(a, b, lambda x, y: x and not y, limit)


def complement(a: Dfa, top: int = CODE_POINTS) -> Dfa:
    """All texts of symbols 0 to top that a does not accept."""
    return difference(anything(top), a)


def anything(top: int = CODE_POINTS) -> Dfa:
    return Dfa((((0, top, 0),),), frozenset((0,)))


def nothing() -> Dfa:
    return Dfa(((),), frozenset())


def words(texts: Iterable[Iterable[int]]) -> Dfa:
    """The automaton of a list of texts."""
    edges: list[dict[int, int]] = [{}]
    accepts = set()
    for symbols in texts:
        state = 0
        for symbol in symbols:
            if symbol not in edges[state]:
                edges[state][symbol] = len(edges)
                edges.append({})
            state = edges[state][symbol]
        accepts.add(state)
    return minimize(trim([sorted((s, s, t) for s, t in out.items()) for out in edges], accepts))
