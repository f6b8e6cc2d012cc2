"""A pygame game with a helmsman who is a language model, in two milliseconds of each frame and no thread.

python game.py FILE.tin [--key RW…] [--budget MS] [--bench FRAMES] [--shot FILE.png]
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from pathlib import Path

import pygame
from boat import HEIGHT, WIDTH, Boat, Image
from helm import Helmsman, spin

import tinsmith
from tinsmith.errors import TinsmithError

SAVED = Path("helmsman.json")
ORDERS = ("Hard to port!", "A little faster.", "Mind the island, go right.", "Keep her so.", "We stop here.")


def percentiles(seconds: list[float]) -> dict[str, float]:
    """In microseconds."""
    times = sorted(seconds) or [0.0]
    at = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "most": 1.0}
    return {
        name: round(times[min(len(times) - 1, int(len(times) * share))] * 1e6, 1) for name, share in at.items()
    }


class Game:
    def __init__(self, model: tinsmith.Model, budget: float) -> None:
        """budget: seconds of each frame that the model may take."""
        pygame.init()
        self.model, self.budget = model, budget
        self.helmsman, self.boat, self.typed = Helmsman(model), Boat(), ""
        self.screen = pygame.display.set_mode((WIDTH, HEIGHT))
        pygame.display.set_caption("Helmsman")
        self.image = Image(self.screen, budget * 1000)
        self.clock = pygame.time.Clock()
        self.tokens = 0

    def key(self, event: pygame.event.Event) -> None:
        if event.key == pygame.K_RETURN and self.typed:
            try:
                self.helmsman.hear(self.typed)
            except TinsmithError as error:  # longer than the conversation has room for
                self.helmsman.said = str(error)
            self.typed = ""
        elif event.key == pygame.K_ESCAPE:
            self.helmsman.hush()
        elif event.key == pygame.K_F5:
            SAVED.write_text(self.helmsman.save(), "utf-8")
        elif event.key == pygame.K_F9 and SAVED.exists():
            self.helmsman.hush()
            self.helmsman = Helmsman.restore(self.model, SAVED.read_text("utf-8"))
        elif event.key == pygame.K_BACKSPACE:
            self.typed = self.typed[:-1]
        elif event.unicode.isprintable():
            self.typed += event.unicode

    def frame(self) -> float | None:
        """Runs a frame up to its wait. Returns how much the model exceeded its time; None within its time."""
        seconds = self.clock.get_time() / 1000
        begun, was = time.perf_counter(), self.helmsman.thinks
        self.helmsman.think(self.budget)
        took = time.perf_counter() - begun
        self.tokens += self.helmsman.settle()
        if (was, self.helmsman.thinks) == ("deed", "words"):
            self.boat.do(self.helmsman.deed)
        self.boat.sail(seconds)
        self.image.times.append((seconds * 1000, took * 1000))
        self.image.draw(self.boat, self.helmsman.said, self.helmsman.deed, self.typed)
        pygame.display.flip()
        return took - self.budget if took >= self.budget else None

    def play(self) -> None:
        while True:
            for event in pygame.event.get():
                if event.type == pygame.QUIT:
                    return
                if event.type == pygame.KEYDOWN:
                    self.key(event)
            self.frame()
            self.clock.tick(60)

    def bench(self, frames: int) -> dict[str, object]:
        """Keeps the helmsman busy; measures each frame's slice beside a loop that does nothing for as long."""
        past: list[float] = []
        idle: list[float] = []
        begins: list[float] = []
        gc.disable()  # as a game does that cares: what is garbage is collected in the waiting
        begun = time.perf_counter()
        for _ in range(frames):
            pygame.event.pump()
            if not self.helmsman.thinks:
                now = time.perf_counter()
                self.helmsman.hear(ORDERS[len(begins) % len(ORDERS)])
                begins.append(time.perf_counter() - now)
            late = self.frame()
            if late is not None:
                past.append(late)
            idle.append(spin(self.budget))
            gc.collect(0)
            self.clock.tick(60)
        seconds = time.perf_counter() - begun
        return {
            "host": "pygame",
            "version": pygame.version.ver,
            "isa": self.model.info.isa,
            "frames": frames,
            "budget_us": round(self.budget * 1e6),
            "frames_used_up": len(past),
            "past_us": percentiles(past),
            "idle_past_us": percentiles(idle),
            "begin_us": percentiles(begins),
            "orders": self.helmsman.orders,
            "tokens": self.tokens,
            "seconds": round(seconds, 1),
            "tokens_s": round(self.tokens / seconds, 1),
        }

    def shot(self, path: Path) -> None:
        """Plays by itself for a moment, and saves an image."""
        self.helmsman.hear(ORDERS[0])
        while self.helmsman.thinks:
            self.frame()
            self.clock.tick(60)
        pygame.image.save(self.screen, path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--key", help="minisign's public key: a file that its owner did not sign is refused")
    parser.add_argument("--budget", type=float, default=2.0, help="milliseconds of each frame")
    parser.add_argument("--bench", type=int, metavar="FRAMES", help="prints frame times as JSON")
    parser.add_argument("--shot", type=Path, help="keeps an image, and ends")
    given = parser.parse_args()
    try:
        model = tinsmith.load(given.file, threads=1, key=given.key)
    except TinsmithError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    game = Game(model, given.budget / 1000)
    gc.collect()
    gc.freeze()
    if given.bench:
        print(json.dumps(game.bench(given.bench)))
    elif given.shot:
        game.shot(given.shot)
    else:
        game.play()
    pygame.quit()
    return 0


if __name__ == "__main__":
    sys.exit(main())
