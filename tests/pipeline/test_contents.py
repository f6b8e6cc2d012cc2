"""What a recipe's targets say reaches what is made for them."""

from __future__ import annotations

from pathlib import Path

import tinsmith
from tests.models.tiny_recipes import BASE, parity, write_home
from tinsmith.pipeline import engine, recipe
from tinsmith.pipeline.run import Run
from tinsmith.system import progress

RECIPE = f"""\
{BASE}task = "classify"
[train]
epochs = 1
qat = "none"
[build]
target = ["board.toml"]
formats = ["Q8_0"]
"""
BOARD = """\
inherits = "raspberrypi-5"
title = "{title}"
[defaults]
context = {context}
"""


def made(folder: Path, goal: str, context: int, title: str = "mine") -> Run:
    (folder / "board.toml").write_text(BOARD.format(context=context, title=title))
    return engine.make(recipe.load(folder / "home.toml"), folder / "run", progress.PlainDisplay(), goal)


def test_a_target_that_changed_is_built_for_again(tmp_path: Path) -> None:
    """And nothing is trained again; what it is called decides nothing."""
    write_home(tmp_path, RECIPE, parity)
    before = made(tmp_path, "build", 200)
    after = made(tmp_path, "build", 100)
    assert after.done(engine.TRAIN).outputs == before.done(engine.TRAIN).outputs
    assert tinsmith.load(tmp_path / "run" / "home-q8_0.tin", threads=1).info.context == 100
    again = made(tmp_path, "build", 100, "ours")
    assert again.done(engine.BUILD).finished == after.done(engine.BUILD).finished


def test_what_is_prepared_for_follows_from_the_target(tmp_path: Path) -> None:
    write_home(tmp_path, RECIPE.replace('qat = "none"\n', "").replace("Q8_0", "AUTO"), parity)
    found = []
    for context in (200, 100):
        run = made(tmp_path, "data", context)
        found.append(engine.TRAIN.inputs(run).decides["qat"])
    assert found[0] != found[1]
