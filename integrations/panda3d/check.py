"""What integrations/panda3d/test checks inside a running Panda3D: check.py TINS OUT.json

The cases of integrations/conformance, each answer in slices of a frame; and the panda.
"""

from __future__ import annotations

import sys
from pathlib import Path

from game import without_window
from panda3d.core import PandaSystem

import tinsmith

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))
import sliced


def main() -> int:
    tins, out = map(Path, sys.argv[1:])
    game = without_window(tinsmith.load(tins / "plain.tin", threads=1))
    failed = sliced.run(tins, out, "panda3d", PandaSystem.getVersionString(), game.taskMgr.step)

    def told(words: str) -> str:
        game.tell(words)
        while game.mind.thinks:
            game.taskMgr.step()
        return str(game.sign.getText())

    first = told("I am thirsty, is there tea?")
    game.tell("No, wait.")
    game.taskMgr.step()
    game.mind.hush()
    again = told("I am thirsty, is there tea?")
    assert first == again == "walk to the teapot", (first, again)
    while game.goal is not None:
        game.taskMgr.step()
    assert (game.panda.getPos() - game.render.getRelativePoint(game.render, (-6, 4, 0))).length() < 0.5
    game.destroy()
    return failed


if __name__ == "__main__":
    sys.exit(main())
