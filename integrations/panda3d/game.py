"""A panda who does what you tell it, in Panda3D: a task steps the model for two milliseconds of each frame.

python game.py FILE.tin [--key RW…] [--shot FILE.png]
"""

from __future__ import annotations

import argparse
import gc
import sys
from pathlib import Path

from direct.actor.Actor import Actor
from direct.gui.DirectGui import DirectEntry
from direct.gui.OnscreenText import OnscreenText
from direct.showbase.ShowBase import ShowBase
from direct.task import Task
from mind import Mind
from panda3d.core import AmbientLight, CardMaker, DirectionalLight, NodePath, Point3, Vec3, loadPrcFileData

import tinsmith
from tinsmith.errors import TinsmithError

BUDGET = 0.002  # seconds of each frame
PLACES = {"teapot": Point3(-6, 4, 0), "box": Point3(6, 3, 0), "ball": Point3(0, 9, 0)}
MODELS = {"teapot": ("models/teapot", 0.5), "box": ("models/box", 1.5), "ball": ("models/smiley", 0.8)}
HERE, SPEED, TURN = Point3(0, -6, 0), 3.0, 180.0  # units and degrees a second


class Game(ShowBase):
    def __init__(self, model: tinsmith.Model, window: str | None = None) -> None:
        """window: Panda3D's windowType; "offscreen" for none."""
        super().__init__(windowType=window)
        self.mind = Mind(model)
        self.disableMouse()
        self.camera.setPos(0, -24, 11)
        self.camera.lookAt(0, 2, 1)
        self._field()
        self.panda = Actor("models/panda-model", {"walk": "models/panda-walk4"})
        self.panda.setScale(0.004)
        self.panda.reparentTo(self.render)
        self.goal: Point3 | None = None
        self.facing = 0.0
        self.sign = OnscreenText(
            "Tell the panda something.", pos=(-1.25, -0.85), scale=0.06, align=0, mayChange=True
        )
        self.entry = DirectEntry(pos=(-1.25, 0, -0.95), scale=0.06, width=40, focus=1, command=self.tell)
        self.accept("escape", self.mind.hush)
        self.taskMgr.add(self.think, "think", sort=10)
        self.taskMgr.add(self.walk, "walk", sort=20)

    def _field(self) -> None:
        self.setBackgroundColor(0.6, 0.78, 0.88)
        maker = CardMaker("field")
        maker.setFrame(-20, 20, -20, 20)
        field = self.render.attachNewNode(maker.generate())
        field.setP(-90)
        field.setColor(0.42, 0.6, 0.34, 1)
        for name, (path, scale) in MODELS.items():
            thing: NodePath = self.loader.loadModel(path)
            thing.setScale(scale)
            thing.setPos(PLACES[name] + Vec3(0, 1.6, scale))
            thing.reparentTo(self.render)
        sun, sky = DirectionalLight("sun"), AmbientLight("sky")
        sky.setColor((0.5, 0.5, 0.55, 1))
        for light, angles in ((sun, (-30, -50, 0)), (sky, (0, 0, 0))):
            node = self.render.attachNewNode(light)
            node.setHpr(*angles)
            self.render.setLight(node)

    def tell(self, words: str) -> None:
        self.mind.hear(words)
        self.sign.setText(f"“{words}” …")
        self.entry.enterText("")
        self.entry["focus"] = 1

    def think(self, task: Task.Task) -> int:
        deed = self.mind.think(BUDGET)
        if deed is not None:
            self.sign.setText(deed)
            self.do(deed)
        return Task.cont

    def do(self, deed: str) -> None:
        self.goal = {"come here": HERE}.get(deed) or PLACES.get(deed.removeprefix("walk to the "))
        if deed == "turn around":
            self.facing += 180
        if self.goal is not None:
            way = self.goal - self.panda.getPos()
            self.facing = Vec3(0, 1, 0).signedAngleDeg(way, Vec3(0, 0, 1)) + 180  # the model looks backwards

    def walk(self, task: Task.Task) -> int:
        seconds = self.clock.getDt() if hasattr(self, "clock") else globalClock.getDt()  # noqa: F821
        turn = (self.facing - self.panda.getH() + 180) % 360 - 180
        self.panda.setH(self.panda.getH() + max(-TURN * seconds, min(TURN * seconds, turn)))
        way = Vec3(0) if self.goal is None else self.goal - self.panda.getPos()
        if way.length() < 0.1:
            self.goal = None
            self.panda.stop()
            return Task.cont
        if self.panda.getCurrentAnim() is None:
            self.panda.loop("walk")
        self.panda.setPos(self.panda.getPos() + way.normalized() * min(way.length(), SPEED * seconds))
        return Task.cont

    def shot(self, words: str, path: Path) -> None:
        """Tells it something, waits until it is done, and keeps an image."""
        self.tell(words)
        while self.mind.thinks or self.goal is not None:
            self.taskMgr.step()
        self.graphicsEngine.renderFrame()
        self.screenshot(str(path), defaultFilename=False)


def without_window(model: tinsmith.Model) -> Game:
    """By the renderer in software, without sound: on a machine that has neither screen nor card."""
    loadPrcFileData("", "load-display p3tinydisplay\naudio-library-name null")
    return Game(model, "offscreen")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--key", help="minisign's public key: a file that its owner did not sign is refused")
    parser.add_argument("--shot", type=Path, help="plays a moment without a window, and keeps an image")
    given = parser.parse_args()
    try:
        model = tinsmith.load(given.file, threads=1, key=given.key)
    except TinsmithError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    game = without_window(model) if given.shot else Game(model)
    gc.collect()
    gc.freeze()
    if given.shot:
        game.shot("I am thirsty, is there tea?", given.shot)
        game.destroy()
    else:
        game.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
