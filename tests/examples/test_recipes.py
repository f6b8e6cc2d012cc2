"""Every recipe of the examples and the integrations is read."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tinsmith.pipeline import recipe

ROOT = Path(__file__).parents[2]
RECIPES = [
    path
    for folder in ("examples", "integrations")
    for path in sorted((ROOT / folder).rglob("*.toml"))
    if "output" in tomllib.loads(path.read_text("utf-8"))
]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_recipe_is_read(path: Path) -> None:
    recipe.load(path)
