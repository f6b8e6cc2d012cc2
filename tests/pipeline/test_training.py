"""What of a recipe reaches training."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_recipes import BASE, parity, write_home

from tinsmith.errors import RecipeError
from tinsmith.pipeline import recipe, stages
from tinsmith.pipeline.training import Trained
from tinsmith.system import progress

RECIPE = f"""\
{BASE}task = "classify"
[train]
epochs = 1
rough = "none"
"""
OPEN = "open_tokens_only = true\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("open")
    write_home(folder, RECIPE, parity)
    return folder


def trained(folder: Path, text: str) -> Trained:
    (folder / "home.toml").write_text(text)
    run = stages.make(recipe.load(folder / "home.toml"), folder / "run", progress.PlainDisplay(), goal="train")
    return run.done(stages.TRAIN).facts


def test_open_tokens_are_those_of_the_recipe_s_constraint(folder: Path) -> None:
    """Another constraint leaves others open, and is trained again."""
    plain, labels = trained(folder, RECIPE), '[constraint]\nchoices = "labels"\n'
    assert trained(folder, RECIPE + labels).curve == plain.curve
    some = trained(folder, RECIPE + OPEN + labels)
    loose = trained(folder, RECIPE + OPEN + '[constraint]\nregex = "[a-z]*"\n')
    assert len({row.curve[0].loss for row in (plain, some)}) == 2
    assert loose.curve == plain.curve


def test_open_tokens_without_a_constraint_are_refused(folder: Path) -> None:
    (folder / "home.toml").write_text(RECIPE + OPEN)
    with pytest.raises(RecipeError, match=r"home.toml:11: \[train\] open_tokens_only: there is no constraint"):
        recipe.load(folder / "home.toml")
