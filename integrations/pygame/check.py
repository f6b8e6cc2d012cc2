"""What integrations/pygame/test checks inside a running pygame: check.py TINS OUT.json

The cases of integrations/conformance, each answer in slices of a frame; and the helmsman.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pygame
from game import Game
from helm import Helmsman

import tinsmith

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))
import sliced


def check_helmsman(model: tinsmith.Model) -> None:
    """The same orders give the same results: whole or in slices, with cancels in between, and from a saved
    game."""
    whole, sliced = Helmsman(model), Game(model, 0.0005)
    first = whole.answer("Hard to port!")
    sliced.helmsman.hear("No, wait.")
    sliced.frame()
    sliced.helmsman.hush()
    sliced.helmsman.hear("Hard to port!")
    while sliced.helmsman.thinks:
        sliced.frame()
    assert (sliced.helmsman.deed, sliced.helmsman.said) == first
    again = Helmsman.restore(model, sliced.helmsman.save())
    assert again.answer("Faster!") == whole.answer("Faster!")


def frame() -> None:
    pygame.event.pump()
    pygame.display.flip()


def main() -> int:
    tins, out = map(Path, sys.argv[1:])
    pygame.init()
    pygame.display.set_mode((320, 200))
    failed = sliced.run(tins, out, "pygame", pygame.version.ver, frame)
    check_helmsman(tinsmith.load(tins / "tiny.tin", threads=1))
    pygame.quit()
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
