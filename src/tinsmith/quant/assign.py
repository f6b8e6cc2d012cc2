"""Which format each tensor gets: the least total loss that a number of bytes allows.

A multiple-choice knapsack, solved exactly: states (bytes, loss) are carried from tensor to tensor; one that
another beats in both, or that can't come below the best solution known even if the rest were divisible (the
greedy bound of Sinha and Zoltners, 1979), is dropped. Tensors of a model have few sizes, so few states are
left."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from tinsmith.errors import InputError

_STATES = 20_000  # carried at most; only a model of many odd sizes has more, and loses next to nothing


class Choice(NamedTuple):
    """What one format of one tensor takes and costs."""

    size: int
    loss: float


class _Step(NamedTuple):
    """From one choice of an item's lower hull to the next: `size` more bytes for `gain` less loss."""

    item: int
    size: int
    gain: float


class Tight(InputError):
    """No assignment is small enough; least: bytes of the smallest there is."""

    def __init__(self, least: int, limit: int) -> None:
        super().__init__(f"the smallest assignment takes {least} bytes, the limit is {limit}")
        self.least = least


def assign(items: Sequence[Sequence[Choice]], limit: int) -> list[int]:
    """For each item the number of its choice, so that sizes sum to at most `limit` and the loss is least.

    Of equal losses the smaller file wins, then the earlier choice. Raises Tight where nothing is small enough.
    """
    useful = [_useful(choices) for choices in items]
    least = sum(choices[0][0] for choices in useful)
    if least > limit:
        raise Tight(least, limit)
    hulls = [_hull(k, choices) for k, choices in enumerate(useful)]
    # Items of large steps first: small ones then fill what is left.
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
    """(size, loss, number) by size, without those that a smaller one beats."""
    kept: list[tuple[int, float, int]] = []
    for size, loss, k in sorted((c.size, c.loss, k) for k, c in enumerate(choices)):
        if not kept or loss < kept[-1][1]:
            kept.append((size, loss, k))
    return kept


def _hull(item: int, choices: Sequence[tuple[int, float, int]]) -> list[_Step]:
    """Steps of falling gain a byte."""
    points: list[tuple[int, float]] = []
    for size, loss, _ in choices:
        while len(points) > 1 and _slope(points[-2], points[-1]) <= _slope(points[-1], (size, loss)):
            points.pop()
        points.append((size, loss))
    return [_Step(item, b[0] - a[0], a[1] - b[1]) for a, b in pairwise(points)]


def _slope(a: tuple[int, float], b: tuple[int, float]) -> float:
    return (a[1] - b[1]) / (b[0] - a[0])


class _Bounds:
    """How low the loss of the items from any place on may come in so many bytes."""

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
        """Of a state before item k: no completion of it within the limit comes below."""
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
        # Rounding is of the order of what is summed, which the best may be nothing of.
        return lowest <= best + 1e-9 * self.losses[0] and lowest != float("inf")

    def rounded(self, limit: int) -> float:
        """A loss that can be had: steps by gain a byte, those that do not fit left out with what follows
        them."""
        left, loss, closed = limit - self.sizes[0], self.losses[0], set[int]()
        for step in self.steps[0]:
            if step.item in closed or step.size > left:
                closed.add(step.item)
                continue
            left -= step.size
            loss -= step.gain
        return loss
