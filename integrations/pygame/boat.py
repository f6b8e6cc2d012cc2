"""A boat that its helmsman steers: its motion and its drawing."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

import pygame

WIDTH, HEIGHT, SEA = 800, 560, 440
ISLANDS = ((160, 120, 46), (620, 90, 34), (420, 250, 52), (180, 350, 30), (680, 330, 40))
BLUE, SAND, GREEN, WHITE, DARK = (58, 110, 150), (222, 200, 140), (96, 140, 80), (245, 245, 235), (22, 28, 34)


@dataclass
class Boat:
    """x, y, in pixels; heading, in degrees, 0 to the right; speed and turning, of these a second."""

    x: float = 400.0
    y: float = 380.0
    heading: float = -90.0
    speed: float = 20.0
    turning: float = 0.0
    wake: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=90))

    def do(self, deed: str) -> None:
        turns = {"turn to port": -18.0, "turn to starboard": 18.0, "steady as she goes": 0.0}
        speeds = {"make more sail": 20.0, "take in sail": -20.0}
        self.turning = turns.get(deed, self.turning)
        self.speed = min(80.0, max(0.0, self.speed + speeds.get(deed, 0.0)))
        if deed == "drop the anchor":
            self.speed = self.turning = 0.0

    def sail(self, seconds: float) -> None:
        self.heading += self.turning * seconds * (self.speed > 0)
        way = math.radians(self.heading)
        self.x = (self.x + math.cos(way) * self.speed * seconds) % WIDTH
        self.y = (self.y + math.sin(way) * self.speed * seconds) % SEA
        self.wake.append((self.x, self.y))
        for x, y, radius in ISLANDS:  # she is pushed off the sand
            away = math.hypot(self.x - x, self.y - y)
            if 0 < away < radius + 8:
                self.x, self.y = x + (self.x - x) / away * (radius + 8), y + (self.y - y) / away * (radius + 8)


class Image:
    """times: milliseconds of the last frames, and of the model in them."""

    def __init__(self, screen: pygame.Surface, budget: float) -> None:
        self._screen, self._budget = screen, budget
        self._font = pygame.font.Font(None, 22)
        self.times: deque[tuple[float, float]] = deque(maxlen=240)

    def draw(self, boat: Boat, said: str, deed: str, typed: str) -> None:
        self._screen.fill(BLUE)
        for x, y, radius in ISLANDS:
            pygame.draw.circle(self._screen, SAND, (x, y), radius)
            pygame.draw.circle(self._screen, GREEN, (x, y), radius * 0.7)
        for k, (x, y) in enumerate(boat.wake):
            pygame.draw.circle(self._screen, (90 + k // 2, 140 + k // 2, 175 + k // 2), (x, y), 2)
        self._boat(boat)
        pygame.draw.rect(self._screen, DARK, (0, SEA, WIDTH, HEIGHT - SEA))
        self._text(f"> {typed}_", 16, SEA + 8)
        self._text(deed or "Tell the helmsman what to do.", 16, SEA + 28)
        self._text(said, 16, SEA + 48)
        self._bars()

    def _boat(self, boat: Boat) -> None:
        way = math.radians(boat.heading)
        hull = [(14, 0), (4, 6), (-12, 5), (-12, -5), (4, -6)]
        turned = [
            (boat.x + a * math.cos(way) - b * math.sin(way), boat.y + a * math.sin(way) + b * math.cos(way))
            for a, b in hull
        ]
        pygame.draw.polygon(self._screen, (110, 70, 45), turned)
        pygame.draw.circle(self._screen, WHITE, (boat.x, boat.y), 4 + boat.speed / 20)

    def _text(self, text: str, x: int, y: int) -> None:
        shown = "".join(c if c.isprintable() else " " for c in text[:96])
        self._screen.blit(self._font.render(shown, True, WHITE), (x, y))

    def _bars(self) -> None:
        for k, (frame, model) in enumerate(self.times):
            x = 16 + 2 * k
            pygame.draw.line(
                self._screen, (80, 88, 96), (x, HEIGHT - 4), (x, HEIGHT - 4 - min(frame, 26) * 1.5)
            )
            pygame.draw.line(
                self._screen, (90, 190, 240), (x, HEIGHT - 4), (x, HEIGHT - 4 - min(model, 26) * 1.5)
            )
        level = HEIGHT - 4 - self._budget * 1.5
        pygame.draw.line(self._screen, (240, 150, 80), (16, level), (496, level))
        self._text("frame and model, ms   Escape: belay that   F5, F9: save, restore", 300, SEA + 8)
