"""Finite automata over ranges of whole numbers: bytes, code points, or bytes and the calls of a rule."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tinsmith.errors import ConstraintError

Edge = tuple[int, int, int]  # low, high, target

MOST_STATES = 60_000
MOST_WORK = 2_000_000  # edges and states that the subset construction looks at where it is ambiguous
MOST_EDGES = 250_000  # of two automata at once
MOST_LETTERS = 250_000  # states of a list of texts before equal ones are merged
CODE_POINTS = 0x10FFFF


@dataclass(frozen=True, eq=False)
class Dfa:
    """edges[s]: (low, high, target) ascending, disjoint; what has no edge is refused. State 0 is the start."""

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
    edges, _, ends = subsets(nfa, (start,), accepts, limit)
    return trim(edges, ends)


def subsets(
    nfa: Nfa,
    starts: Iterable[int],
    accepts: Iterable[int],
    limit: int = MOST_STATES,
    place: Callable[[int], str] | None = None,
) -> tuple[list[list[Edge]], list[int], set[int]]:
    """The subset construction from several starts at once, untrimmed: edges, starts by number, what accepts.

    place: for errors, what a state is part of.
    """
    skips = nfa.skips
    singles: dict[int, int] = {}  # the number of what one state alone reaches for nothing
    numbers: dict[frozenset[int], int] = {}
    # A state that reaches nothing else, or all that are reached together.
    waiting: list[int | frozenset[int]] = []
    work = 0

    def too_large(subset: int | frozenset[int], needs: str) -> ConstraintError:
        state = subset if isinstance(subset, int) else min(subset)
        part = f"{place(state)}: this part" if place else "a part of the constraint"
        return ConstraintError(f"{part} needs more than {needs}; make its bounds smaller")

    def new(subset: int | frozenset[int]) -> int:
        if len(waiting) >= limit:
            raise too_large(subset, f"{limit:,} states")
        waiting.append(subset)
        return len(waiting) - 1

    def several(reached: Iterable[int]) -> int:
        nonlocal work
        closed = _reach(skips, reached)
        work += len(closed)
        number = numbers.get(closed)
        if number is None:
            number = numbers[closed] = new(closed)
        return number

    def single(state: int) -> int:
        number = singles.get(state)
        if number is None:
            number = singles[state] = several((state,)) if skips[state] else new(state)
        return number

    firsts = [single(start) for start in starts]
    edges: list[list[Edge]] = []
    targets: dict[frozenset[int], int] = {}
    for subset in waiting:
        if isinstance(subset, int):
            leaving = nfa.edges[subset]
            if len(leaving) == 1:
                low, high, target = leaving[0]
                edges.append([(low, high, single(target))])
                continue
        else:
            leaving = [edge for state in subset for edge in nfa.edges[state]]
            work += len(leaving)
            if work > MOST_WORK:
                raise too_large(subset, f"{MOST_WORK:,} steps to tell its alternatives apart")
        out: list[Edge] = []
        for low, high, reached in _split(leaving):
            if isinstance(reached, int):
                number = single(reached)
            else:
                known = targets.get(reached)
                if known is None:
                    known = targets[reached] = several(reached)
                number = known
            if out and out[-1][2] == number and out[-1][1] == low - 1:
                out[-1] = (out[-1][0], high, number)
            else:
                out.append((low, high, number))
        edges.append(out)
    final = frozenset(accepts)
    ends = {k for k, s in enumerate(waiting) if (s in final if isinstance(s, int) else not final.isdisjoint(s))}
    return edges, firsts, ends


def _reach(skips: Sequence[Sequence[int]], states: Iterable[int]) -> frozenset[int]:
    """States and what they reach for nothing."""
    reached, waiting = set(states), list(states)
    while waiting:
        for target in skips[waiting.pop()]:
            if target not in reached:
                reached.add(target)
                waiting.append(target)
    return frozenset(reached)


def _split(edges: list[Edge]) -> Sequence[tuple[int, int, int | frozenset[int]]]:
    """Disjoint ranges, ascending, each with the targets of all edges that cover it: one, or a set."""
    edges = sorted(edges)
    if all(a[1] < b[0] for a, b in pairwise(edges)):
        return edges
    marks: dict[int, list[tuple[int, int]]] = {}
    for low, high, target in edges:
        marks.setdefault(low, []).append((target, 1))
        marks.setdefault(high + 1, []).append((target, -1))
    ranges: list[tuple[int, int, int | frozenset[int]]] = []
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
    """The smallest automaton of the same language."""
    sources: list[list[int]] = [[] for _ in dfa.edges]
    for state, edges in enumerate(dfa.edges):
        for _, _, target in edges:
            sources[target].append(state)
    kinds: dict[bool, int] = {}
    first = [kinds.setdefault(state in dfa.accepts, len(kinds)) for state in range(len(dfa.edges))]
    group, count = refine(first, lambda state, group: _signature(dfa.edges[state], group), sources)
    if count == len(dfa.edges):
        return dfa
    members: dict[int, int] = {}
    for state, number in enumerate(group):
        members.setdefault(number, state)
    # The start stays number 0: groups are numbered in the order of their first state.
    renumbered = {number: k for k, number in enumerate(members)}
    order = [renumbered[number] for number in group]
    kept = [_signature(dfa.edges[state], order) for state in members.values()]
    return trim(kept, {order[state] for state in dfa.accepts})


def refine(
    group: list[int], signature: Callable[[int, list[int]], object], sources: Sequence[Iterable[int]]
) -> tuple[list[int], int]:
    """The coarsest partition in which the states of a group have the same signature; the number of groups.

    group: each state's group to begin with, numbered from 0 without gaps. signature(state, group): what a state
    is in terms of its successors' groups. sources[s]: the states whose signature speaks of s. When a group
    splits, its largest part keeps the number, so a state is looked at again only when a successor went with a
    smaller part: n log n in all.
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
            # States not looked at are alike, and unlike those that were: of these a successor has a new group.
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
    """The edges with groups for targets."""
    return tuple(joined([(low, high, group[target]) for low, high, target in edges]))


def joined(edges: list[Edge]) -> list[Edge]:
    """Neighbouring ranges that lead to the same state made one."""
    out: list[Edge] = []
    last, end = -1, -2  # where the edge before leads, and the end of its range
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
    """Disjoint ranges, ascending, with the targets in both."""
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


def _product(a: Dfa, b: Dfa, keep: Callable[[bool, bool], bool], limit: int) -> Dfa:
    """Both at once; None stands for the state of what is refused."""
    numbers: dict[Pair, int] = {(0, 0): 0}
    order: list[Pair] = [(0, 0)]
    edges: list[list[Edge]] = []
    accepts: set[int] = set()
    alone_a, alone_b = keep(True, False), keep(False, True)
    work = 0
    for number, (x, y) in enumerate(order):
        if keep(x in a.accepts, y in b.accepts):
            accepts.add(number)
        out: list[Edge] = []
        own = a.edges[x] if x is not None else ()
        other = b.edges[y] if y is not None else ()
        work += len(own) + len(other)
        if work > MOST_EDGES:
            raise ConstraintError(
                f"two conditions together need more than {MOST_EDGES:,} edges; make their bounds or sets "
                "smaller"
            )
        for low, high, pair in _overlaid(own, other):
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
