"""Grammar to constraint.bin, the push-down automaton that the C core walks. Format:
kernels/core/constraint/automaton.h.

Grammar ─▶ network: one automaton a rule, over bytes and calls
        ─▶ push-down automaton: deterministic; no called rule is empty or begins with itself
        ─▶ without what leads nowhere; equal states merged, whatever their rule
        ─▶ bytes
"""

from __future__ import annotations

import heapq
import sys
from array import array
from collections.abc import Hashable, Sequence

from tinsmith.constraint import CALL, CLASSES, NO_END, STATE, Constraint, Kind, header_of, words_begin
from tinsmith.constraint.automata.dfa import MOST_STATES, Numbering, joined, refine
from tinsmith.constraint.grammar import Grammar
from tinsmith.constraint.machine.graphs import components
from tinsmith.constraint.machine.network import network
from tinsmith.constraint.machine.pushdown import State, Step, pushdown
from tinsmith.errors import ConstraintError

NO_STATE = 0xFFFF
MOST_CALLS = 200_000
MOST_BYTES = 64 << 20


def compile_grammar(grammar: Grammar, kind: Kind) -> Constraint:
    """The constraint of a grammar; equal grammars give equal bytes. ConstraintError where a rule is missing,
    where no text satisfies the grammar, and beyond the limits here, in network.py and in automata/dfa.py."""
    machine, start = pushdown(network(grammar))
    distances = _distances(machine)
    shortest = distances[start]
    if shortest is None:
        raise ConstraintError("no text satisfies the constraint")
    states, kept = _merged(machine, start, distances)
    if len(states) > MOST_STATES:
        raise ConstraintError(
            f"the constraint needs {len(states):,} states of at most {MOST_STATES:,}; make it smaller"
        )
    depth = _depth(states)
    lengths = [distances[state] or 0 for state in kept]
    if max(lengths) >= NO_END:
        raise ConstraintError(f"the shortest text has {NO_END:,} bytes or more; make bounds smaller")
    data = _encode(states, lengths, depth)
    return Constraint(kind, data, len(states), depth, shortest)


def _distances(states: Sequence[State]) -> list[int | None]:
    """By state: bytes of the shortest way to one that accepts, calls and what they contain included (Knuth's
    generalization of Dijkstra's algorithm); None where there is none."""
    lengths: list[int | None] = [None] * len(states)
    bytes_to: list[list[int]] = [[] for _ in states]
    calls_of: list[list[tuple[int, Step]]] = [[] for _ in states]
    for number, state in enumerate(states):
        for _, _, target in state.edges:
            bytes_to[target].append(number)
        for step in state.calls:
            calls_of[step.enter].append((number, step))
            calls_of[step.leave].append((number, step))
    waiting = [(0, number) for number, state in enumerate(states) if state.accepts]
    while waiting:
        length, number = heapq.heappop(waiting)
        if lengths[number] is not None:
            continue
        lengths[number] = length
        for source in bytes_to[number]:
            if lengths[source] is None:
                heapq.heappush(waiting, (length + 1, source))
        for source, step in calls_of[number]:
            inside, after = lengths[step.enter], lengths[step.leave]
            if lengths[source] is None and inside is not None and after is not None:
                heapq.heappush(waiting, (step.least * inside + after, source))
    return lengths


def _merged(
    states: Sequence[State], start: int, distances: Sequence[int | None]
) -> tuple[list[State], list[int]]:
    """Merges equal states, and drops those that are unreachable or lead nowhere. The start comes first, then
    the nearest. Also returns an earlier number of each."""
    if None in distances:
        states = [_alive(state, distances) for state in states]
    sources: list[list[int]] = [[] for _ in states]
    kinds: Numbering[Hashable] = Numbering()
    first = []
    for number, state in enumerate(states):
        for edge in state.edges:
            sources[edge[2]].append(number)
        for step in state.calls:
            sources[step.enter].append(number)
            sources[step.leave].append(number)
        ends = (state.edges[0][0], state.edges[-1][1]) if state.edges else ()
        first.append(kinds[state.accepts, distances[number], not state.calls, ends])
    group, _ = refine(first, lambda number, group: _signature(states[number], group), sources)
    firsts = {group[number]: number for number in reversed(range(len(group)))}  # of each group
    numbers = Numbering([group[start]])
    merged = []
    for one in numbers.order:
        state = states[firsts[one]]
        edges = joined([(low, high, numbers[group[target]]) for low, high, target in state.edges])
        calls = dict.fromkeys(
            Step(numbers[group[step.enter]], numbers[group[step.leave]], step.least, step.most)
            for step in state.calls
        )
        merged.append(State(state.accepts, tuple(edges), tuple(calls)))
    return merged, [firsts[one] for one in numbers.order]


def _alive(state: State, distances: Sequence[int | None]) -> State:
    """Without what leads nowhere."""
    edges = tuple(edge for edge in state.edges if distances[edge[2]] is not None)
    calls = (
        step for step in state.calls if distances[step.enter] is not None and distances[step.leave] is not None
    )
    return State(state.accepts, edges, tuple(calls))


def _signature(state: State, group: Sequence[int]) -> object:
    """What a state is, its successors known by their groups."""
    edges = state.edges
    if not state.calls and len(edges) == 1:
        low, high, target = edges[0]
        return low, high, group[target]
    own = tuple(joined([(low, high, group[target]) for low, high, target in edges]))
    if not state.calls:
        return own
    return own, frozenset((group[step.enter], group[step.leave], step.least, step.most) for step in state.calls)


def _depth(states: Sequence[State]) -> int | None:
    """The most frames on the stack, None without a bound. A call after which nothing is left but the end is
    made without a frame."""
    rules = {0: 0}  # states in which the text or a called rule begins
    graph: list[list[int]] = []
    frames: list[dict[int, int]] = []  # by rule: rules that it calls, and the frames for that
    for first in (waiting := [0]):
        called: dict[int, int] = {}
        own, seen = [first], {first}
        for number in own:
            state = states[number]
            for step in state.calls:
                if step.enter not in rules:
                    rules[step.enter] = len(rules)
                    waiting.append(step.enter)
                called[rules[step.enter]] = called.get(rules[step.enter], 0) | (not _last(step, states))
            for target in [edge[2] for edge in state.edges] + [step.leave for step in state.calls]:
                if target not in seen:
                    seen.add(target)
                    own.append(target)
        graph.append(list(called))
        frames.append(called)
    deepest = [0] * len(graph)
    for component in components(graph):
        members = set(component)
        if any(frames[rule].get(other) for rule in component for other in frames[rule] if other in members):
            return None
        most = max(
            (
                deepest[other] + frame
                for rule in component
                for other, frame in frames[rule].items()
                if other not in members
            ),
            default=0,
        )
        for rule in component:
            deepest[rule] = most
    return deepest[0]


def _last(step: Step, states: Sequence[State]) -> bool:
    leave = states[step.leave]
    return step.most == 1 and leave.accepts and not leave.edges and not leave.calls


def _firsts(states: Sequence[State]) -> dict[int, int]:
    """By state in which a called rule begins: the bytes that may follow, those of calls too, a bit each."""
    enters = list(dict.fromkeys(step.enter for state in states for step in state.calls))
    numbers = {enter: k for k, enter in enumerate(enters)}
    firsts: dict[int, int] = {}
    # No chain of calls leads back, so a component is one state.
    for (number,) in components([[numbers[step.enter] for step in states[enter].calls] for enter in enters]):
        state = states[enters[number]]
        own = 0
        for low, high, _ in state.edges:
            own |= (1 << high + 1) - (1 << low)
        for step in state.calls:
            own |= firsts[step.enter]
        firsts[enters[number]] = own
    return firsts


def _table(states: Sequence[State]) -> tuple[bytes, int, array[int]]:
    """By byte, the number of its class (bytes of one are alike in every state); how many there are; the state
    after a byte of a class, (states, classes)."""
    targets = array("H", [NO_STATE]) * (CLASSES * len(states))  # (states, bytes)
    for number, state in enumerate(states):
        for low, high, target in state.edges:
            begin, count = CLASSES * number + low, high - low + 1
            targets[begin : begin + count] = array("H", [target]) * count
    classes: Numbering[bytes] = Numbering()  # of columns
    class_of = bytes([classes[targets[byte::CLASSES].tobytes()] for byte in range(CLASSES)])
    table = array("H", [NO_STATE]) * (len(classes) * len(states))
    for number, column in enumerate(classes.order):
        table[number :: len(classes)] = array("H", column)
    return class_of, len(classes), table


def _encode(states: Sequence[State], distances: Sequence[int], depth: int | None) -> bytes:
    """constraint.bin."""
    count = sum(len(state.calls) for state in states)
    if count > MOST_CALLS or max(len(state.calls) for state in states) > 0xFFFF:
        raise ConstraintError(f"the constraint has {count:,} calls of at most {MOST_CALLS:,}; make it smaller")
    class_of, classes, table = _table(states)
    size = words_begin(len(states), count) + 2 * classes * len(states)
    if size > MOST_BYTES:
        raise ConstraintError(f"the constraint has {size >> 20} MiB of {MOST_BYTES >> 20}; make it smaller")
    firsts = _firsts(states)
    infos, calls = bytearray(), bytearray()
    done = 0
    for state, distance in zip(states, distances, strict=True):
        infos += STATE.pack(done, len(state.calls), state.accepts, distance)
        done += len(state.calls)
        for enter, leave, least, most in state.calls:
            most = NO_END if most is None else most
            calls += CALL.pack(enter, leave, least, most, firsts[enter].to_bytes(32, "little"))
    if sys.byteorder == "big":
        table.byteswap()
    header = header_of(len(states), classes, count, depth, distances[0])
    return header + class_of + infos + calls + table.tobytes()
