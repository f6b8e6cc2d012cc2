"""A slow reader of constraint.bin: what a compiled constraint accepts, by the rules of
kernels/core/constraint/automaton.h as they stand there, one configuration at a time. No caches, no tail
calls, no bound on the stack."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from tinsmith.constraint.automata.dfa import Dfa
from tinsmith.constraint.grammar import Expr, Machine

NO_STATE = 0xFFFF
NO_END = 0xFFFFFFFF
HEADER = struct.Struct("<8I32x")
STATE = struct.Struct("<IHHI")
CALL = struct.Struct("<4I32s")

Configuration = tuple[int, int]  # state; stack, as the number of its top frame (0: empty)


class Oracle:
    """data: constraint.bin. ValueError where it breaks a promise of the format."""

    def __init__(self, data: bytes) -> None:
        magic, version, states, classes, calls, self.start, self.depth, self.shortest = HEADER.unpack_from(data)
        if magic != 0x4E4F4354 or version != 1:
            raise ValueError("not a constraint.bin")
        if len(data) != 64 + 256 + STATE.size * states + CALL.size * calls + 2 * states * classes:
            raise ValueError("its parts do not add up to its size")
        self.class_of = data[64:320]
        at = 320
        self.states = list(STATE.iter_unpack(data[at : at + STATE.size * states]))
        at += STATE.size * states
        self.calls = list(CALL.iter_unpack(data[at : at + CALL.size * calls]))
        table = struct.unpack(f"<{states * classes}H", data[at + CALL.size * calls :])
        self.next = [table[classes * s : classes * (s + 1)] for s in range(states)]
        self.firsts = [int.from_bytes(call[4], "little") for call in self.calls]
        self._check(classes)
        # Stacks are numbers, so that equal ones are the same: (the stack below, call, repetitions done).
        self.frames: list[tuple[int, int, int]] = [(0, 0, 0)]
        self.numbers: dict[tuple[int, int, int], int] = {}

    def _check(self, classes: int) -> None:
        states, calls = len(self.states), len(self.calls)
        if self.start >= states or max(self.class_of) >= classes:
            raise ValueError("the start or a class is out of range")
        if any(to >= states and to != NO_STATE for row in self.next for to in row):
            raise ValueError("a state is out of range")
        if self.states[self.start][3] != self.shortest:
            raise ValueError("the shortest text is not the first state's distance")
        for first, count, accepts, _ in self.states:
            if first + count > calls or accepts > 1:
                raise ValueError("a state's calls are out of range")
        for enter, leave, least, most, _ in self.calls:
            if enter >= states or leave >= states or not 1 <= least <= most:
                raise ValueError("a call is out of range")
            if self.states[enter][2]:
                raise ValueError("a called rule accepts the empty text")
        done: set[int] = set()
        for root in range(states):
            trail, waiting = {root}, [(root, iter(self._entered(root)))]
            while waiting:
                state, targets = waiting[-1]
                target = next(targets, None)
                if target is None:
                    waiting.pop()
                    trail.discard(state)
                    done.add(state)
                elif target in trail:
                    raise ValueError("a chain of calls without a byte leads back to a state")
                elif target not in done:
                    trail.add(target)
                    waiting.append((target, iter(self._entered(target))))

    def _entered(self, state: int) -> list[int]:
        first, count, _, _ = self.states[state]
        return [call[0] for call in self.calls[first : first + count]]

    def _push(self, stack: int, call: int, done: int) -> int:
        frame = (stack, call, done)
        if frame not in self.numbers:
            self.numbers[frame] = len(self.frames)
            self.frames.append(frame)
        return self.numbers[frame]

    def _completed(self, stack: int) -> tuple[int, int, int, bool, bool]:
        """A top frame, complete once more: below, call, repetitions; may another follow; may it end."""
        below, call, done = self.frames[stack]
        _, _, least, most, _ = self.calls[call]
        done += 1
        again, ends = most == NO_END or done < most, done >= least
        return below, call, min(done, least) if most == NO_END else done, again, ends

    def begin(self) -> frozenset[Configuration]:
        return frozenset([(self.start, 0)])

    def step(self, configurations: Iterable[Configuration], byte: int) -> frozenset[Configuration]:
        reached: set[Configuration] = set()
        waiting = list(configurations)
        seen = set(waiting)

        def visit(state: int, stack: int) -> None:
            if (state, stack) not in seen:
                seen.add((state, stack))
                waiting.append((state, stack))

        while waiting:
            state, stack = waiting.pop()
            target = self.next[state][self.class_of[byte]]
            if target != NO_STATE:
                reached.add((target, stack))
            first, count, accepts, _ = self.states[state]
            for call in range(first, first + count):
                if self.firsts[call] >> byte & 1:
                    visit(self.calls[call][0], self._push(stack, call, 0))
            if accepts and stack:
                below, call, done, again, ends = self._completed(stack)
                if again and self.firsts[call] >> byte & 1:
                    visit(self.calls[call][0], self._push(below, call, done))
                if ends:
                    visit(self.calls[call][1], below)
        return frozenset(reached)

    def walk(self, prefix: bytes) -> frozenset[Configuration]:
        configurations = self.begin()
        for byte in prefix:
            configurations = self.step(configurations, byte)
        return configurations

    def ends(self, configurations: Iterable[Configuration]) -> bool:
        for configuration in configurations:
            state, stack = configuration
            while self.states[state][2]:
                if not stack:
                    return True
                below, call, _, _, ends = self._completed(stack)
                if not ends:
                    break
                state, stack = self.calls[call][1], below
        return False

    def accepts(self, text: bytes) -> bool:
        """Whether it is a whole text."""
        return self.ends(self.walk(text))

    def allows(self, prefix: bytes) -> bool:
        """Whether a text begins with it."""
        return bool(self.walk(prefix))


def one_byte(*ranges: tuple[int, int]) -> Expr:
    """One byte of these ranges, in ascending order."""
    return Machine(Dfa((tuple((low, high, 1) for low, high in ranges), ()), frozenset((1,))))
