"""A pack of what a recipe trains with: what is in it, what is refused, and a whole run without a network."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tinsmith import cli
from tinsmith.airgap import wheel
from tinsmith.errors import InputError
from tinsmith.formats import minisign
from tinsmith.pipeline import offline
from tinsmith.pipeline import recipe as recipes

RECIPE = """\
[scratch]
vocabulary = 320
layers = 2
hidden = 64
[data]
command = ["python", "data.py", "--out", "made"]
train = "made/train.jsonl"
validation = "made/validation.jsonl"
test = "made/test.jsonl"
task = "chat"
system = "home"
[train]
epochs = 2
batch_tokens = 400
[build]
formats = ["Q8_0"]
context = 128
[eval]
max_tokens = 16
threads = 1
"""
DATA = """\
import json, pathlib
folder = pathlib.Path("made")
folder.mkdir()
for name, numbers in (("train", range(40)), ("validation", range(40, 44)), ("test", range(44, 50))):
    rows = [json.dumps({"input": f"number {n}", "output": f"it is {n}"}) for n in numbers]
    (folder / f"{name}.jsonl").write_text("".join(row + "\\\\n" for row in rows))
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "home.toml").write_text(RECIPE)
    (folder / "data.py").write_text(DATA.replace("\\\\", "\\"))
    (folder / "unnamed.txt").write_text("nothing names it")
    return folder / "home.toml"


def test_wheels_that_lack_one_are_refused_before_they_travel(
    recipe: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    wheel.this_wheel(wheels)
    arguments = ["pack", str(recipe), "--unsigned", "--out", str(tmp_path / "out")]
    assert cli.main([*arguments, "--runtime", str(wheels)]) == 2
    error = capfd.readouterr().err.splitlines()[-1]
    assert "do not install tinsmith[train,eval,gguf]: No matching distribution found for" in error
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.tar").exists()
    assert (recipe.parent / "made/train.jsonl").is_file()  # the data was made, and read


def test_what_the_recipe_names_is_packed_and_no_more(recipe: Path) -> None:
    assert sorted(offline.named(recipes.load(recipe))) == ["data.py", "home.toml"]
    (recipe.parent / "made").mkdir()
    (recipe.parent / "made/train.jsonl").write_text("{}\n")
    assert sorted(offline.named(recipes.load(recipe))) == ["data.py", "home.toml", "made/train.jsonl"]


def test_a_file_elsewhere_is_refused(recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("elsewhere")
    recipe.write_text(RECIPE.replace("[data]\n", '[data]\ntext = "../text.txt"\n'))
    with pytest.raises(
        InputError, match=r"data.text: ../text.txt lies outside of the recipe's folder; put it in"
    ):
        offline.named(recipes.load(recipe))


@pytest.mark.parametrize("link", ["made/link.jsonl", "made/folder"])
def test_a_link_to_elsewhere_is_not_packed(link: str, recipe: Path, tmp_path: Path) -> None:
    """A folder of data that is packed holds nothing of the rest of the machine."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.jsonl").write_text("secret")
    (recipe.parent / "made").mkdir()
    recipe.write_text(RECIPE.replace('train = "made/train.jsonl"', 'train = "made"'))
    target = tmp_path / "elsewhere" / ("a.jsonl" if link.endswith("jsonl") else "")
    (recipe.parent / link).symlink_to(target)
    try:
        packed = offline.named(recipes.load(recipe))
    except InputError as error:
        assert str(error).startswith(f"{recipe.parent / link}: is a link that leads out of {recipe.parent}")
    else:
        assert not any(path.resolve().is_relative_to(tmp_path / "elsewhere") for path in packed.values())


def test_models_by_name_are_carried_and_files_beside_the_recipe_are_not(tmp_path: Path) -> None:
    path = tmp_path / "one.toml"
    stated = (
        '[base]\nmodel = "{}"\n[data]\ntrain = "train.jsonl"\n[compare]\nbases = ["smollm2-360m-instruct"]\n'
    )
    path.write_text(stated.format("smollm2-135m-instruct"))
    assert [name for name, _ in offline.models(recipes.load(path))] == [
        "smollm2-135m-instruct",
        "smollm2-360m-instruct",
    ]
    (tmp_path / "base").mkdir()
    (tmp_path / "base/config.json").write_text("{}")
    path.write_text(stated.format("base"))
    assert [name for name, _ in offline.models(recipes.load(path))] == ["smollm2-360m-instruct"]
    assert sorted(offline.named(recipes.load(path))) == ["base/config.json", "one.toml"]


@pytest.mark.parametrize("more", [["--as", "deb"], ["--serve"], ["--target", "raspberrypi-5"]])
def test_a_recipe_is_packed_for_machines_like_this_one(
    more: list[str], recipe: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["pack", str(recipe), "--unsigned", "--out", str(tmp_path / "out"), *more]) == 2
    assert "for machines like this one" in capfd.readouterr().err


@pytest.mark.slow
def test_a_site_without_a_network_trains(
    recipe: Path, secret: Path, maker: minisign.SecretKey, offline: list[str], run: Callable, tmp_path: Path
) -> None:
    """Wheels of what is installed here; installed into an environment, and every stage of a run, without an
    interface. What was changed on the way is refused."""
    out, into, made = tmp_path / "pack", tmp_path / "site", tmp_path / "run"
    wheels = os.environ.get("TINSMITH_TEST_WHEELS")  # of an earlier run: making them takes minutes
    given = ["--runtime", wheels] if wheels else []
    command = ["pack", str(recipe), "--as", "dir", "--out", str(out), "--key", str(secret), *given]
    assert cli.main(command) == 0
    page = (out / "CHECK.md").read_text()
    assert maker.public in page and "recipe/made/train.jsonl" in page
    assert {"torch", "tinsmith", "peft"} <= {path.name.split("-")[0] for path in (out / "wheels").iterdir()}
    (bill,) = [json.loads((out / "sbom.cdx.json").read_text())]
    assert {"torch", "click"} <= {part["name"] for part in bill["components"]}

    install = [*offline, sys.executable, "-I", out / "install.py", "--key", maker.public, "--into", into]
    changed = out / "recipe/made/train.jsonl"
    text = changed.read_text()
    changed.write_text(text.replace("it is 7", "it is 8"))
    done = run(*install)
    assert (done.returncode, "train.jsonl does not match SHA256SUMS" in done.stderr) == (1, True)
    assert not into.exists()
    changed.write_text(text)

    done = run(*install)
    assert done.returncode == 0, done.stderr
    assert f"ready: {into}/recipe/home.toml" in done.stdout
    environment: dict[str, Any] = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    make = [*offline, into / "bin/tinsmith", "make", into / "recipe/home.toml", "--out", made]
    done = run(*make, env=environment)
    assert done.returncode == 0, done.stderr
    assert (made / "report.html").is_file() and (made / "home-q8_0.tin").is_file()
    assert run(into / "bin/tinsmith", "verify", made / "home-q8_0.tin", env=environment).returncode == 0
