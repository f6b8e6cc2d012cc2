from __future__ import annotations

from pathlib import Path

import pytest

from tests.models.tiny_models import tiny_spec
from tinsmith import models
from tinsmith.cli import main
from tinsmith.errors import RecipeError
from tinsmith.pipeline import recipe
from tinsmith.plan import contents

BOARD = 'inherits = "cortex-m7"\n[memory]\n{what}\n[source]\nmemory = "a test"\n'
RECIPE = """\
[base]
model = "base.gguf"
[data]
train = "t.jsonl"
validation = "v.jsonl"
test = "e.jsonl"
"""


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    path = tmp_path / "base.gguf"
    models.save_gguf(tiny_spec("llama"), path)
    return path


def test_a_model_that_does_not_fit_is_refused_before_a_file_is_made(
    gguf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "board.toml").write_text(BOARD.format(what="storage = 4096"))
    out = tmp_path / "out"
    code = main(["build", str(gguf), "--target", str(tmp_path / "board.toml"), "--out", str(out)])
    printed = capsys.readouterr().err
    assert code == 2 and "does not fit board" in printed and len(printed.splitlines()) == 1
    assert not out.exists() or not list(out.iterdir())


def test_a_recipe_for_a_device_takes_its_format(gguf: Path, tmp_path: Path) -> None:
    path = tmp_path / "home.toml"
    path.write_text(RECIPE + '[build]\ntarget = "rpi5"\n')
    loaded = recipe.load(path)
    assert loaded.build.target == ("rpi5",) and loaded.build.formats == ("Q4_0",)
    path.write_text(RECIPE + '[build]\ntarget = ["rpi5", "cortex-m7"]\n')
    assert recipe.load(path).build.formats == ("Q4_0", "Q8_0")
    path.write_text(RECIPE + '[build]\ntarget = "rpi5"\nformats = ["Q8_0"]\n')
    assert recipe.load(path).build.formats == ("Q8_0",)
    path.write_text(RECIPE)
    assert recipe.load(path, ["rpi5"]).build.formats == ("Q4_0",)
    path.write_text(RECIPE + '[build]\ntarget = "rpi6"\n')
    with pytest.raises(RecipeError, match=r"home.toml:8: \[build\] target: rpi6: no such target"):
        recipe.load(path)


def test_a_recipe_is_refused_before_training(
    gguf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "board.toml").write_text(BOARD.format(what="ram = 4096"))
    for name in "tve":
        (tmp_path / f"{name}.jsonl").write_text('{"input": "a", "output": "{}"}\n')
    path = tmp_path / "home.toml"
    path.write_text(RECIPE + 'task = "extract"\n[build]\ntarget = "board.toml"\n')
    assert main(["make", "--until", "train", str(path), "--out", str(tmp_path / "run")]) == 2
    printed = capsys.readouterr().err.splitlines()
    assert "does not fit board" in printed[-1] and "RAM takes" in printed[-1]
    assert not (tmp_path / "run" / "adapter").exists()


def test_the_constraint_counts(gguf: Path) -> None:
    spec = models.load(gguf)
    plain, more = (contents.Base(spec, entries=e).contents("Q8_0") for e in ({}, {"grammar/answer.bin": 10**6}))
    assert more.tables - plain.tables == 10**6 and more.file - plain.file >= 10**6
