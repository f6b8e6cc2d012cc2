"""[base] keep reaches training, and is not part of what training's result depends on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinsmith.errors import RecipeError
from tinsmith.pipeline import recipe
from tinsmith.pipeline.stages.train.options import options as train_options

RECIPE = """\
[base]
model = "base.gguf"
{keep}
[data]
train = "train.jsonl"
validation = "validation.jsonl"
test = "test.jsonl"
"""


def load(folder: Path, keep: str, train: str = "") -> recipe.Recipe:
    path = folder / "home.toml"
    path.write_text(RECIPE.format(keep=keep) + train, encoding="utf-8")
    return recipe.load(path)


@pytest.mark.parametrize(("line", "kept"), [("", "auto"), ('weights = "quantized"', "quantized")])
def test_training_is_told(tmp_path: Path, line: str, kept: str) -> None:
    assert train_options(load(tmp_path, line), 4).weights == kept


def test_what_is_allowed_is_said(tmp_path: Path) -> None:
    wanted = r'home.toml:3: \[base\] weights: got "small"; .* "auto", "quantized", "float"'
    with pytest.raises(RecipeError, match=wanted):
        load(tmp_path, 'weights = "small"')


@pytest.mark.parametrize("method", ["full", "prefix"])
def test_methods_that_take_the_base_as_floats_say_so(tmp_path: Path, method: str) -> None:
    train = f'[train]\nmethod = "{method}"\n'
    with pytest.raises(RecipeError, match=rf'\[base\] weights: method "{method}" needs floats'):
        load(tmp_path, 'weights = "quantized"', train)
    assert load(tmp_path, 'weights = "auto"', train).base.weights == "auto"
