"""Finite automata over ranges of integers: bytes, code points, or bytes and a rule's calls."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TypeVar

from tinsmith.errors import ConstraintError

Edge = tuple[int, int, int]  # low, high, target
Subset = int | frozenset[int]  # one NFA state, or several

MOST_STATES = 60_000
MOST_WORK = 2_000_000  # edges and states of ambiguous subsets in the subset construction
MOST_EDGES = 250_000  # of a product of two automata
MOST_LETTERS = 250_000  # states of a list of texts before minimization
CODE_POINTS = 0x10FFFF

Key = TypeVar("Key", bound=Hashable)


class Numbering(dict[Key, int]):
    """Numbers for keys in the order of their discovery: looking up a new key numbers it, and appends it to
    `order`, which may be iterated while it grows."""

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        super().__init__()
        self.order: list[Key] = []
        for key in keys:
            self[key]

    def __missing__(self, key: Key) -> int:
        self[key] = number = len(self.order)
        self.order.append(key)
        return number


@dataclass(frozen=True, eq=False)
class Dfa:
    """edges[s]: (low, high, target), ascending and disjoint. State 0 is the start."""

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
        """Whether it accepts nothing, for a trimmed automaton (all functions here trim)."""
        return not self.accepts


class Nfa:
    """edges[s]: (low, high, target) in any order; skips[s]: targets of transitions without input."""

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
        """Adds a copy of an automaton from `source` to `target`."""
        base = len(self.edges)
        for edges in dfa.edges:
            self.edges.append([(low, high, base + to) for low, high, to in edges])
            self.skips.append([])
        self.skips[source].append(base)
        for state in dfa.accepts:
            self.skips[base + state].append(target)


def determinize(nfa: Nfa, start: int, accepts: Iterable[int], limit: int = MOST_STATES) -> Dfa:
    """The subset construction, trimmed. ConstraintError beyond `limit` states."""
    edges, _, ends = subsets(nfa, (start,), accepts, limit)
    return trim(edges, ends)


def subsets(
    nfa: Nfa,
    starts: Iterable[int],
    accepts: Iterable[int],
    limit: int = MOST_STATES,
    owner: Callable[[int], str] | None = None,
) -> tuple[list[list[Edge]], list[int], set[int]]:
    """The subset construction from several starts, untrimmed: edges, numbers of the starts, accepting states.

    owner: names the part of the constraint that a state belongs to, for errors.
    """
    subsets: Numbering[Subset] = Numbering()
    work = 0

    def too_large(subset: Subset, needs: str) -> ConstraintError:
        part = f"{owner(min(_states(subset)))}: this part" if owner else "a part of the constraint"
        return ConstraintError(f"{part} needs more than {needs}; make its bounds smaller")

    @cache
    def number(reached: Subset) -> int:
        """The number of the states reached without further input."""
        nonlocal work
        subset = reached
        if not isinstance(reached, int) or nfa.skips[reached]:
            subset = _reach(nfa.skips, _states(reached))
            work += len(subset)
        known = subsets[subset]
        if len(subsets) > limit:
            raise too_large(subset, f"{limit:,} states")
        return known

    firsts = [number(start) for start in starts]
    edges: list[list[Edge]] = []
    for subset in subsets.order:
        leaving = [edge for state in _states(subset) for edge in nfa.edges[state]]
        if not isinstance(subset, int):
            work += len(leaving)
            if work > MOST_WORK:
                raise too_large(subset, f"{MOST_WORK:,} steps to tell its alternatives apart")
        edges.append(joined([(low, high, number(reached)) for low, high, reached in _split(leaving)]))
    final = frozenset(accepts)
    ends = {k for k, subset in enumerate(subsets.order) if not final.isdisjoint(_states(subset))}
    return edges, firsts, ends


def _states(subset: Subset) -> Iterable[int]:
    return (subset,) if isinstance(subset, int) else subset


def _reach(graph: Sequence[Sequence[int]], states: Iterable[int]) -> frozenset[int]:
    """The states and all that follow them in a graph."""
    reached, waiting = set(states), list(states)
    while waiting:
        for target in graph[waiting.pop()]:
            if target not in reached:
                reached.add(target)
                waiting.append(target)
    return frozenset(reached)


def _split(edges: list[Edge]) -> Sequence[tuple[int, int, Subset]]:
    """Disjoint ascending ranges, each with the targets of all edges that cover it."""
    edges = sorted(edges)
    if all(a[1] < b[0] for a, b in pairwise(edges)):
        return edges
    marks: dict[int, list[tuple[int, int]]] = {}
    for low, high, target in edges:
        marks.setdefault(low, []).append((target, 1))
        marks.setdefault(high + 1, []).append((target, -1))
    ranges: list[tuple[int, int, Subset]] = []
    active: dict[int, int] = {}
    before = 0
    for at in sorted(marks):
        if len(active) == 1:
            ranges.append((before, at - 1, next(iter(active))))
        elif active:
            ranges.append((before, at - 1, frozenset(active)))
        for target, change in marks[at]:
            count = active.get(target, 0) + change
            if count:
                active[target] = count
            else:
                del active[target]
        before = at
    return ranges


def trim(edges: Sequence[Iterable[Edge]], accepts: Iterable[int]) -> Dfa:
    """Removes states that the start does not reach or that no accepting state follows."""
    accepts = set(accepts)
    alive = _reach(_sources(edges), accepts)
    numbers = Numbering([0])
    kept = [
        tuple([(low, high, numbers[target]) for low, high, target in edges[state] if target in alive])
        for state in numbers.order
    ]
    return Dfa(tuple(kept), frozenset(numbers[state] for state in accepts if state in numbers))


def _sources(edges: Sequence[Iterable[Edge]]) -> list[list[int]]:
    """The states with an edge to each state."""
    sources: list[list[int]] = [[] for _ in edges]
    for state, out in enumerate(edges):
        for _, _, target in out:
            sources[target].append(state)
    return sources


def minimize(dfa: Dfa) -> Dfa:
    """The smallest automaton of the same language."""
    kinds: Numbering[bool] = Numbering()
    first = [kinds[state in dfa.accepts] for state in range(len(dfa.edges))]
    group, count = refine(first, lambda state, group: _signature(dfa.edges[state], group), _sources(dfa.edges))
    if count == len(dfa.edges):
        return dfa
    # Numbered by first state, so that the start remains 0.
    groups: Numbering[int] = Numbering()
    number_of = [groups[one] for one in group]
    first_of = dict(zip(reversed(number_of), reversed(dfa.edges), strict=True))
    kept = [_signature(first_of[number], number_of) for number in range(len(groups))]
    return trim(kept, {number_of[state] for state in dfa.accepts})


def refine(
    group: list[int], signature: Callable[[int, list[int]], object], sources: Sequence[Iterable[int]]
) -> tuple[list[int], int]:
    """The coarsest partition in which all states of a group have the same signature, and its number of groups.

    group: each state's initial group, numbered from 0 without gaps. signature(state, group): describes a state
    by its successors' groups. sources[s]: states whose signature depends on s. When a group splits, its largest
    part keeps the number, and a state is visited again only if a successor left with a smaller part: n log n in
    all.
    """
    count = max(group) + 1
    members: list[set[int]] = [set() for _ in range(count)]
    for state, number in enumerate(group):
        members[number].add(state)
    dirty: Iterable[int] = range(len(group))
    while dirty:
        parts: dict[int, dict[object, list[int]]] = {}
        for state in dirty:
            if len(members[group[state]]) == 1:
                continue
            parts.setdefault(group[state], {}).setdefault(signature(state, group), []).append(state)
        moved: list[int] = []
        for number, by_signature in parts.items():
            split = list(by_signature.values())
            whole = members[number]
            touched = sum(map(len, split))
            # Unvisited states are alike and differ from the visited ones, whose successors changed groups.
            rest = len(whole) - touched
            largest = max(split, key=len)
            if rest >= len(largest):
                leaving = split
            else:
                leaving = [part for part in split if part is not largest]
                if rest:
                    leaving.append(sorted(whole.difference(*split)))
            for part in leaving:
                whole.difference_update(part)
                members.append(set(part))
                for state in part:
                    group[state] = count
                count += 1
                moved += part
        dirty = dict.fromkeys(source for state in moved for source in sources[state])
    return group, count


def _signature(edges: Iterable[Edge], group: Sequence[int]) -> tuple[Edge, ...]:
    """The edges with groups as targets."""
    return tuple(joined([(low, high, group[target]) for low, high, target in edges]))


def joined(edges: list[Edge]) -> list[Edge]:
    """Merges neighbouring ranges of the same target."""
    out: list[Edge] = []
    last, end = -1, -2  # target and end of the edge before
    for edge in edges:
        low, high, target = edge
        if target == last and low == end + 1:
            out[-1] = (out[-1][0], high, target)
        else:
            out.append(edge)
        last, end = target, high
    return out


Pair = tuple[int | None, int | None]
_BEYOND = 1 << 62


def _overlaid(a: Sequence[Edge], b: Sequence[Edge]) -> Iterator[tuple[int, int, Pair]]:
    """Disjoint ascending ranges with the targets in a and b."""
    k = j = at = 0
    while k < len(a) or j < len(b):
        low_a, high_a, to_a = a[k] if k < len(a) else (_BEYOND, _BEYOND, 0)
        low_b, high_b, to_b = b[j] if j < len(b) else (_BEYOND, _BEYOND, 0)
        at = max(at, min(low_a, low_b))
        in_a, in_b = low_a <= at, low_b <= at
        last = min(high_a if in_a else low_a - 1, high_b if in_b else low_b - 1)
        yield at, last, (to_a if in_a else None, to_b if in_b else None)
        k += in_a and high_a == last
        j += in_b and high_b == last
        at = last + 1


def _product(a: Dfa, b: Dfa, keep: Callable[[bool, bool], bool]) -> Dfa:
    """The product automaton; None is the state after a mismatch."""
    numbers: Numbering[Pair] = Numbering([(0, 0)])
    edges: list[list[Edge]] = []
    accepts: set[int] = set()
    alone_a, alone_b = keep(True, False), keep(False, True)
    work = 0
    for number, (x, y) in enumerate(numbers.order):
        if keep(x in a.accepts, y in b.accepts):
            accepts.add(number)
        out_a = a.edges[x] if x is not None else ()
        out_b = b.edges[y] if y is not None else ()
        work += len(out_a) + len(out_b)
        if work > MOST_EDGES:
            raise ConstraintError(
                f"two conditions together need more than {MOST_EDGES:,} edges; make their bounds or sets "
                "smaller"
            )
        edges.append(
            [
                (low, high, numbers[pair])
                for low, high, pair in _overlaid(out_a, out_b)
                if (pair[0] is not None or alone_b) and (pair[1] is not None or alone_a)
            ]
        )
        if len(numbers) > MOST_STATES:
            raise ConstraintError(
                f"two conditions together need more than {MOST_STATES:,} states; make their bounds smaller"
            )
    return minimize(trim(edges, accepts))


def intersect(a: Dfa, b: Dfa) -> Dfa:
    return _product(a, b, lambda x, y: x and y)


def union(a: Dfa, b: Dfa) -> Dfa:
    return _product(a, b, lambda x, y: x or y)


def difference(a: Dfa, b: Dfa) -> Dfa:
    """Texts of a that are not in b."""
    return _product(a, b, lambda x, y: x and not y)


def complement(a: Dfa) -> Dfa:
    """Texts over code points that are not in a."""
    return difference(anything(), a)


def anything() -> Dfa:
    return Dfa((((0, CODE_POINTS, 0),),), frozenset((0,)))


def nothing() -> Dfa:
    return Dfa(((),), frozenset())


def words(texts: Iterable[Iterable[int]]) -> Dfa:
    """The automaton of a list of texts. ConstraintError beyond MOST_LETTERS."""
    edges: list[dict[int, int]] = [{}]
    accepts = set()
    for symbols in texts:
        state = 0
        for symbol in symbols:
            if symbol not in edges[state]:
                edges[state][symbol] = len(edges)
                edges.append({})
                if len(edges) > MOST_LETTERS:
                    raise ConstraintError(
                        f"a list of texts needs more than {MOST_LETTERS:,} states before equal ones are "
                        "merged; give fewer or shorter ones"
                    )
            state = edges[state][symbol]
        accepts.add(state)
    return minimize(trim([sorted((s, s, t) for s, t in out.items()) for out in edges], accepts))
