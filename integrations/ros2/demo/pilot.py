"""Turns calls into wheel speeds at each tick, as a rover's own software does."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

WHEEL = 0.06  # metres, radius
AXLE = 0.22  # metres between the wheels
PACE = {"slow": 0.15, "normal": 0.3, "fast": 0.5}  # metres a second
SPIN = 1.6  # radians a second, at most
NEAR = 0.03  # metres from a place at which it is there
PLACES = {
    "home": (0.0, 0.0),
    "charger": (1.5, 1.0),
    "door": (-1.5, 1.2),
    "window": (1.2, -1.4),
    "table": (-1.3, -1.0),
}


@dataclass
class Pose:
    """On the floor, in metres and radians."""

    x: float
    y: float
    yaw: float


class Pilot:
    """Executes one call at a time: a new one replaces it."""

    def __init__(self) -> None:
        self.doing = "stop"
        self._given: dict[str, Any] = {}
        self._pace = PACE["normal"]
        self._left = 0.0  # metres or radians still to go, with their sign
        self._last: Pose | None = None

    def call(self, name: str, given: dict[str, Any]) -> None:
        """Raises KeyError for a call that is none of tools.json's."""
        if name == "pace":
            self._pace = PACE[given["speed"]]
            return
        self.doing, self._given = name, given
        if name == "drive":
            self._left = given["centimetres"] / 100 * (1 if given["way"] == "forward" else -1)
        elif name == "turn":
            self._left = math.radians(given["degrees"]) * (1 if given["way"] == "left" else -1)
        elif name not in ("go", "stop"):
            raise KeyError(name)

    def steer(self, pose: Pose) -> tuple[float, float]:
        """Speeds of the left and right wheel, in radians a second."""
        last, self._last = self._last or pose, pose
        if self.doing == "drive":
            ahead = (pose.x - last.x) * math.cos(pose.yaw) + (pose.y - last.y) * math.sin(pose.yaw)
            self._left -= ahead
            return self._wheels(_limited(3 * self._left, self._pace), 0, abs(self._left) < 0.01)
        if self.doing == "turn":
            self._left -= _angle(pose.yaw - last.yaw)
            return self._wheels(0, _limited(4 * self._left, SPIN), abs(self._left) < 0.02)
        if self.doing == "go":
            x, y = PLACES[self._given["to"]]
            far = math.hypot(x - pose.x, y - pose.y)
            off = _angle(math.atan2(y - pose.y, x - pose.x) - pose.yaw)
            ahead = _limited(2 * far, self._pace) * max(0.0, math.cos(off)) ** 3
            return self._wheels(ahead, _limited(4 * off, SPIN), far < NEAR)
        return self._wheels(0, 0, False)

    def _wheels(self, ahead: float, spin: float, done: bool) -> tuple[float, float]:
        if done:
            self.doing, ahead, spin = "stop", 0.0, 0.0
        return (ahead - spin * AXLE / 2) / WHEEL, (ahead + spin * AXLE / 2) / WHEEL


def _limited(value: float, most: float) -> float:
    return max(-most, min(most, value))


def _angle(value: float) -> float:
    """Between -pi and pi."""
    return math.atan2(math.sin(value), math.cos(value))
