"""Grammar to constraint.bin, the push-down automaton that the C core walks; the format: kernels/core/constraint.h.

Grammar ─▶ network (one automaton a rule, over bytes and calls) ─▶ push-down automaton (deterministic; no called rule
is empty or begins with itself) ─▶ without what leads nowhere ─▶ equal states merged, whatever their rule ─▶ bytes
"""

from __future__ import annotations

import heapq
import struct
import sys
from array import array
from collections.abc import Sequence
from itertools import pairwise

from tinsmith.compiler.constraint import Constraint, Kind
from tinsmith.compiler.constraint.dfa import MOST_STATES, Edge, refine
from tinsmith.compiler.constraint.grammar import Grammar
from tinsmith.compiler.constraint.graphs import components
from tinsmith.compiler.constraint.network import network
from tinsmith.compiler.constraint.pushdown import Pushdown, State, Step, pushdown
from tinsmith.errors import ConstraintError

MAGIC, VERSION = 0x4E4F4354, 1
NO_STATE, NO_END = 0xFFFF, 0xFFFFFFFF
MOST_CALLS = 200_000
MOST_BYTES = 64 << 20


def compile_grammar(grammar: Grammar, kind: Kind) -> Constraint:
    """The constraint of a grammar; equal grammars give equal bytes. ConstraintError where a rule is missing, where no
    text satisfies the grammar, and beyond the limits here, in network.py and in dfa.py."""
    machine = pushdown(network(grammar))
    distances = _distances(machine.states)
    shortest = distances[machine.start]
    if shortest is None:
        raise ConstraintError("no text satisfies the constraint")
    states, kept = _merged(machine, distances)
    if len(states) > MOST_STATES:
        raise ConstraintError(
            f"the constraint needs {len(states):,} states of at most {MOST_STATES:,}; make it smaller"
        )
    depth = _depth(states)
    lengths = [distances[state] or 0 for state in kept]
    if max(lengths) >= NO_END:
        raise ConstraintError(
            f"the shortest text has {max(lengths):,} bytes of fewer than {NO_END:,}; make bounds smaller"
        )
    data = _encode(states, lengths, depth)
    return Constraint(kind, data, len(states), depth, shortest)


def _distances(states: Sequence[State]) -> list[int | None]:
    """By state: bytes of the shortest way to one that accepts, calls and what they contain included (Knuth's
    generalization of Dijkstra's algorithm); None where there is none."""
    found: list[int | None] = [None] * len(states)
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
        if found[number] is not None:
            continue
        found[number] = length
        for source in bytes_to[number]:
            if found[source] is None:
                heapq.heappush(waiting, (length + 1, source))
        for source, step in calls_of[number]:
            inside, after = found[step.enter], found[step.leave]
            if found[source] is None and inside is not None and after is not None:
                heapq.heappush(waiting, (step.least * inside + after, source))
    return found


def _merged(machine: Pushdown, distances: Sequence[int | None]) -> tuple[list[State], list[int]]:
    """Equal states made one, without those that lead nowhere or are not reached, the start first; of each, one number
    that it had."""
    states = [
        State(
            state.accepts,
            tuple(edge for edge in state.edges if distances[edge[2]] is not None),
            tuple(s for s in state.calls if distances[s.enter] is not None and distances[s.leave] is not None),
        )
        for state in machine.states
    ]
    order = _reached(states, machine.start)
    numbers = {state: k for k, state in enumerate(order)}
    states = [_renumbered(states[state], numbers) for state in order]
    sources: list[list[int]] = [[] for _ in states]
    for number, state in enumerate(states):
        for target in _targets(state):
            sources[target].append(number)
    kinds: dict[object, int] = {}
    first = [
        kinds.setdefault((state.accepts, distances[old], not state.calls), len(kinds))
        for old, state in zip(order, states, strict=True)
    ]
    group, count = refine(first, lambda state, group: _renumbered(states[state], group), sources)
    members: dict[int, int] = {}
    for number, own in enumerate(group):
        members.setdefault(own, number)
    alike = [_renumbered(states[members[k]], group) for k in range(count)]
    last = _reached(alike, group[0])
    numbers = {state: k for k, state in enumerate(last)}
    return [_renumbered(alike[k], numbers) for k in last], [order[members[k]] for k in last]


def _targets(state: State) -> list[int]:
    return [edge[2] for edge in state.edges] + [to for step in state.calls for to in (step.enter, step.leave)]


def _reached(states: Sequence[State], start: int) -> list[int]:
    """The states that the start leads to, nearest first."""
    order, seen = [start], {start}
    for number in order:
        for target in _targets(states[number]):
            if target not in seen:
                seen.add(target)
                order.append(target)
    return order


def _renumbered(state: State, numbers: Sequence[int] | dict[int, int]) -> State:
    """With other numbers for the states; edges that come to lead to the same one joined, equal calls made one."""
    out: list[Edge] = []
    for low, high, target in state.edges:
        number = numbers[target]
        if out and out[-1][2] == number and out[-1][1] == low - 1:
            out[-1] = (out[-1][0], high, number)
        else:
            out.append((low, high, number))
    calls = {Step(numbers[step.enter], numbers[step.leave], step.least, step.most) for step in state.calls}
    ordered = sorted(calls, key=lambda step: (*step[:3], step.most or 0)) if calls else ()
    return State(state.accepts, tuple(out), tuple(ordered))


def _depth(states: Sequence[State]) -> int | None:
    """The most frames on the stack, None without a bound. A call of which nothing is left to do but to end is made
    without a frame."""
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


def _firsts(states: Sequence[State]) -> list[int]:
    """By state: the bytes that may follow, those of calls included, one bit each."""
    found = [sum((1 << high + 1) - (1 << low) for low, high, _ in state.edges) for state in states]
    # No chain of calls leads back, so a component is one state.
    for (number,) in components([[step.enter for step in state.calls] for state in states]):
        for step in states[number].calls:
            found[number] |= found[step.enter]
    return found


def _classes(states: Sequence[State]) -> tuple[bytes, int]:
    """By byte, the number of its class (bytes of one are alike in every state), and how many there are."""
    rows = list(dict.fromkeys(state.edges for state in states))
    marks = sorted({0, 256}.union(*({low, high + 1} for row in rows for low, high, _ in row)))
    place = {mark: k for k, mark in enumerate(marks)}
    columns: list[list[tuple[int, int]]] = [[] for _ in marks[1:]]
    for number, row in enumerate(rows):
        for low, high, target in row:
            for k in range(place[low], place[high + 1]):
                columns[k].append((number, target))
    numbers: dict[tuple[tuple[int, int], ...], int] = {}
    class_of = bytearray()
    for (low, above), column in zip(pairwise(marks), columns, strict=True):
        number = numbers.setdefault(tuple(column), len(numbers))
        class_of += bytes((number,)) * (above - low)
    return bytes(class_of), len(numbers)


def _encode(states: Sequence[State], distances: Sequence[int], depth: int | None) -> bytes:
    """constraint.bin."""
    class_of, classes = _classes(states)
    count = sum(len(state.calls) for state in states)
    size = 64 + 256 + 12 * len(states) + 48 * count + 2 * classes * len(states)
    if count > MOST_CALLS or max(len(state.calls) for state in states) > 0xFFFF:
        raise ConstraintError(
            f"the constraint needs {count:,} calls of at most {MOST_CALLS:,}; make it smaller"
        )
    if size > MOST_BYTES:
        raise ConstraintError(
            f"the constraint needs {size >> 20} MiB of at most {MOST_BYTES >> 20}; make it smaller"
        )
    firsts = _firsts(states)
    infos, calls, table = bytearray(), bytearray(), array("H")
    empty = array("H", [NO_STATE]) * classes
    done = 0
    for state, distance in zip(states, distances, strict=True):
        infos += struct.pack("<IHHI", done, len(state.calls), state.accepts, distance)
        done += len(state.calls)
        for enter, leave, least, most in state.calls:
            calls += struct.pack("<4I", enter, leave, least, NO_END if most is None else most)
            calls += firsts[enter].to_bytes(32, "little")
        row = empty[:]
        for low, high, target in state.edges:
            for number in {*class_of[low : high + 1]} if high > low else (class_of[low],):
                row[number] = target
        table += row
    if sys.byteorder == "big":
        table.byteswap()
    header = (len(states), classes, count, 0, NO_END if depth is None else depth, distances[0])
    return struct.pack("<8I32x", MAGIC, VERSION, *header) + class_of + infos + calls + table.tobytes()
