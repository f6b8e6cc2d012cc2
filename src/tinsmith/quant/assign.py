"""Assigns a format to each tensor: the least total loss within a limit of bytes.

A multiple-choice knapsack, solved exactly. States (bytes, loss) grow tensor by tensor. A state is dropped where
another beats it in both, or where its lower bound (the relaxation of Sinha and Zoltners, 1979) exceeds the best
known solution. A model's tensors have few sizes, so few states remain."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from tinsmith.errors import InputError

_STATES = 20_000  # kept at most; only models of many different sizes have more


class Choice(NamedTuple):
    """Bytes and loss of a tensor in one format."""

    size: int
    loss: float


class _Step(NamedTuple):
    """A step on an item's lower hull: `size` more bytes for `gain` less loss."""

    item: int
    size: int
    gain: float


class Tight(InputError):
    """No assignment fits the limit. least: bytes of the smallest one."""

    def __init__(self, least: int, limit: int) -> None:
        super().__init__(f"the smallest assignment takes {least} bytes, the limit is {limit}")
        self.least = least


def assign(items: Sequence[Sequence[Choice]], limit: int) -> list[int]:
    """The index of each item's choice, with the least loss at a total size of at most `limit`.

    Among equal losses the smaller file wins, then the earlier choice. Raises Tight where nothing fits.
    """
    useful = [_useful(choices) for choices in items]
    least = sum(choices[0][0] for choices in useful)
    if least > limit:
        raise Tight(least, limit)
    hulls = [_hull(k, choices) for k, choices in enumerate(useful)]
    # Items with large steps first: small ones fill the rest.
    order = sorted(range(len(items)), key=lambda k: (-max((s.size for s in hulls[k]), default=0), k))
    bounds = _Bounds([useful[k] for k in order], [hulls[k] for k in order])
    best = bounds.rounded(limit)
    states: list[tuple[int, float, tuple[int, object] | None]] = [(0, 0.0, None)]
    for at, k in enumerate(order):
        grown = [
            (size + more, loss + cost, (choice, back))
            for size, loss, back in states
            for more, cost, choice in useful[k]
        ]
        grown.sort(key=lambda state: state[:2])
        states, lowest = [], float("inf")
        for state in grown:
            if state[1] < lowest and bounds.reachable(at + 1, state[0], state[1], limit, best):
                states.append(state)
                lowest = state[1]
        if len(states) > _STATES:
            states = sorted(states, key=lambda s: bounds.loss(at + 1, s[0], s[1], limit))[:_STATES]
            states.sort(key=lambda state: state[:2])
    _, _, back = min(states, key=lambda state: (state[1], state[0]))
    chosen = [0] * len(items)
    for k in reversed(order):
        assert back is not None
        chosen[k], back = back  # type: ignore[assignment]
    return chosen


def _useful(choices: Sequence[Choice]) -> list[tuple[int, float, int]]:
    """(size, loss, index) by size, without those that a smaller one beats."""
    useful: list[tuple[int, float, int]] = []
    for size, loss, k in sorted((c.size, c.loss, k) for k, c in enumerate(choices)):
        if not useful or loss < useful[-1][1]:
            useful.append((size, loss, k))
    return useful


def _hull(item: int, choices: Sequence[tuple[int, float, int]]) -> list[_Step]:
    """Steps, with decreasing gain a byte."""
    points: list[tuple[int, float]] = []
    for size, loss, _ in choices:
        while len(points) > 1 and _slope(points[-2], points[-1]) <= _slope(points[-1], (size, loss)):
            points.pop()
        points.append((size, loss))
    return [_Step(item, b[0] - a[0], a[1] - b[1]) for a, b in pairwise(points)]


def _slope(a: tuple[int, float], b: tuple[int, float]) -> float:
    return (a[1] - b[1]) / (b[0] - a[0])


class _Bounds:
    """Lower bounds of the loss of the items from any index on."""

    def __init__(self, choices: Sequence[Sequence[tuple[int, float, int]]], hulls: Sequence[Sequence[_Step]]):
        self.hulls = hulls
        count = len(choices)
        self.sizes, self.losses = [0] * (count + 1), [0.0] * (count + 1)
        for k in reversed(range(count)):
            self.sizes[k] = self.sizes[k + 1] + choices[k][0][0]
            self.losses[k] = self.losses[k + 1] + choices[k][0][1]
        ranked = sorted(
            ((step, k) for k, hull in enumerate(hulls) for step in hull),
            key=lambda pair: (-pair[0].gain / pair[0].size, pair[1]),
        )
        self.steps, self.spent, self.gained = [], [], []
        for k in range(count + 1):
            own = [step for step, item in ranked if item >= k]
            self.steps.append(own)
            self.spent.append(list(accumulate((step.size for step in own), initial=0)))
            self.gained.append(list(accumulate((step.gain for step in own), initial=0.0)))

    def loss(self, k: int, size: int, loss: float, limit: int) -> float:
        """A lower bound for the completions, within the limit, of a state before item k."""
        left = limit - size - self.sizes[k]
        if left < 0:
            return float("inf")
        at = bisect_right(self.spent[k], left) - 1
        lowest = loss + self.losses[k] - self.gained[k][at]
        if at < len(self.steps[k]):
            step = self.steps[k][at]
            lowest -= step.gain * (left - self.spent[k][at]) / step.size
        return lowest

    def reachable(self, k: int, size: int, loss: float, limit: int, best: float) -> bool:
        lowest = self.loss(k, size, loss, limit)
        # Rounding errors scale with the summed losses, which may exceed the best loss by far.
        return lowest <= best + 1e-9 * self.losses[0] and lowest != float("inf")

    def rounded(self, limit: int) -> float:
        """The loss of a feasible solution: steps by gain a byte; an item stops at the first that does not
        fit."""
        left, loss, closed = limit - self.sizes[0], self.losses[0], set[int]()
        for step in self.steps[0]:
            if step.item in closed or step.size > left:
                closed.add(step.item)
                continue
            left -= step.size
            loss -= step.gain
        return loss
