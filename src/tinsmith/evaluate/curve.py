"""Curves as numbers that a template can draw: points in an SVG's own coordinates, and round ticks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

WIDTH, HEIGHT = 640, 240
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 12, 28
BESIDE, HIGH = 84, 14  # what a label at a line's end takes of the width and of the height


@dataclass(frozen=True)
class Tick:
    position: float
    label: str


@dataclass(frozen=True)
class Label:
    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Drawing:
    """points: of each line by its name, as SVG's `points`; ticks and labels in the same coordinates."""

    points: dict[str, str]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    labels: list[Label]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    bottom: int = HEIGHT - BOTTOM
    right: int = WIDTH - RIGHT


def draw(
    rows: Sequence[Mapping[str, Any]],
    series: Sequence[str] = ("loss", "validation_loss"),
    *,
    along: str = "step",
    begin: float = 0.0,
    labels: Mapping[str, str] = {},
) -> Drawing | None:
    """Draws the named values of rows {"step": n, "loss": x, …} over their steps; None without two points.

    The y axis is logarithmic: a loss falls by factors. along: what is drawn over; begin: where its axis does;
    labels: what is written at the end of some lines, by their names.
    """
    lines = {
        name: [(float(row[along]), float(row[name])) for row in rows if (row.get(name) or 0) > 0]
        for name in series
    }
    points = [point for line in lines.values() for point in line]
    if len({step for step, _ in points}) < 2:
        return None
    last = max(step for step, _ in points)
    low = min(value for _, value in points)
    high = max(value for _, value in points)
    if high <= low * 1.01:
        high = low * 1.01

    right = BESIDE if any(lines.get(name) for name in labels) else RIGHT

    def x(step: float) -> float:
        return LEFT + (WIDTH - LEFT - right) * (step - begin) / (last - begin)

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * math.log(high / value) / math.log(high / low)

    return Drawing(
        points={
            name: " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in line)
            for name, line in lines.items()
            if line
        },
        x_ticks=[Tick(x(step), f"{step:g}") for step in _steps(last) if step >= begin],
        y_ticks=[Tick(y(value), f"{value:g}") for value in decades(low, high)],
        labels=_apart(
            [
                Label(x(line[-1][0]) + 4, y(line[-1][1]) + 4, labels[name])
                for name, line in lines.items()
                if line and name in labels
            ]
        ),
    )


def _apart(labels: list[Label]) -> list[Label]:
    """Those that would lie on others moved down, and all up again where the last would leave the frame."""
    placed: list[Label] = []
    for label in sorted(labels, key=lambda one: one.y):
        above = [one.y for one in placed if abs(one.x - label.x) < BESIDE]
        placed.append(replace(label, y=max([label.y, *(y + HIGH for y in above)])))
    over = max((one.y for one in placed), default=0.0) - (HEIGHT - BOTTOM)
    return [replace(one, y=one.y - over) for one in placed] if over > 0 else placed


def _steps(last: float) -> list[float]:
    """Multiples of a round number, four to ten of them."""
    unit = max(10.0, 10.0 ** math.floor(math.log10(last)))
    for part in (0.1, 0.2, 0.5, 1.0):
        if last / (unit * part) <= 10:
            return [i * unit * part for i in range(int(last / (unit * part)) + 1)]
    return [0.0, last]


def decades(low: float, high: float) -> list[float]:
    """The values 1, 2 and 5 times a power of ten in a range."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    values = [round(m * 10.0**e, 12) for e in range(first, last + 1) for m in (1, 2, 5)]
    return [value for value in values if low <= value <= high]
