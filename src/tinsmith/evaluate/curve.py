"""Curves as numbers that a template can draw: points in an SVG's own coordinates, and round ticks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 640, 240
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 12, 28


@dataclass(frozen=True)
class Tick:
    position: float
    label: str


@dataclass(frozen=True)
class Drawing:
    """points: of each line by its name, as SVG's `points`; ticks in the same coordinates."""

    points: dict[str, str]
    x_ticks: list[Tick]
    y_ticks: list[Tick]


def draw(
    rows: Sequence[Mapping[str, Any]],
    series: Sequence[str] = ("loss", "validation_loss"),
    along: str = "step",
) -> Drawing | None:
    """Draws the named values of rows {"step": n, "loss": x, …} over the key `along`; None without two points.

    The y axis is logarithmic: a loss falls by factors."""
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

    def x(step: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * step / last

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * math.log(high / value) / math.log(high / low)

    return Drawing(
        points={
            name: " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in line)
            for name, line in lines.items()
            if line
        },
        x_ticks=[Tick(x(step), f"{step:g}") for step in _steps(last)],
        y_ticks=[Tick(y(value), f"{value:g}") for value in _decades(low, high)],
    )


def _steps(last: float) -> list[float]:
    """Multiples of a round number, four to ten of them."""
    unit = max(10.0, 10.0 ** math.floor(math.log10(last)))
    for part in (0.1, 0.2, 0.5, 1.0):
        if last / (unit * part) <= 10:
            return [i * unit * part for i in range(int(last / (unit * part)) + 1)]
    return [0.0, last]


def _decades(low: float, high: float) -> list[float]:
    """The values 1, 2 and 5 times a power of ten in a range."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    values = [round(m * 10.0**e, 12) for e in range(first, last + 1) for m in (1, 2, 5)]
    return [value for value in values if low <= value <= high]
