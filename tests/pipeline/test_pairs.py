"""A base that sees as two GGUF files: a folder of both, or [base] mmproj."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.models.tiny_models import png_of, tiny_spec, with_vision
from tinsmith import models
from tinsmith.errors import TinsmithError
from tinsmith.pipeline import engine
from tinsmith.pipeline import recipe as recipes
from tinsmith.pipeline.run import Run
from tinsmith.spec import Spec
from tinsmith.system import files, progress
from tinsmith.train.beginning.scratch import SEEING_TEMPLATE

RECIPE = """\
[base]
model = "base.gguf"
mmproj = "half.gguf"
[data]
task = "chat"
train = "rows.jsonl"
validation = "rows.jsonl"
test = "rows.jsonl"
"""


def write_pair(folder: Path, model: str, half: str, width: int = 64) -> Spec:
    spec = with_vision(tiny_spec("llama", hidden_size=width, intermediate_size=96))
    spec = replace(spec, chat_template=SEEING_TEMPLATE)
    models.save_gguf(spec, folder / model)
    models.save_mmproj(spec, folder / half)
    return spec


def make(folder: Path, last: str, more: str = "") -> Run:
    """A run of a recipe that has the pair, as far as a stage."""
    (folder / "shown.png").write_bytes(png_of(bytes(range(192)), 8, 8))
    row = json.dumps({"image": "shown.png", "input": "what is it?", "output": "the thing"})
    (folder / "rows.jsonl").write_text(row + "\n")
    (folder / "recipe.toml").write_text(RECIPE + more)
    return engine.make(recipes.load(folder / "recipe.toml"), folder / "run", progress.display(), last)


def data_stage(folder: Path) -> Path:
    """The base's place as the run has it."""
    return Path(make(folder, "data").done(engine.DATA).facts.base.path)


@pytest.mark.parametrize("linked", [True, False])
def test_either_half_is_noticed_when_it_is_replaced(
    linked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is read again only then."""
    if not linked:
        monkeypatch.setattr(os, "link", lambda *given: (tmp_path / "another disk").stat())
    spec = write_pair(tmp_path, "base.gguf", "half.gguf")
    found = [make(tmp_path, "data").done(engine.DATA)]
    assert spec.vision is not None
    tensors = {role: replace(one, data=bytes(len(one.data))) for role, one in spec.vision.tensors.items()}
    models.save_mmproj(replace(spec, vision=replace(spec.vision, tensors=tensors)), tmp_path / "half.gguf")
    found.append(make(tmp_path, "data").done(engine.DATA))
    tensors = {role: replace(one, data=bytes(len(one.data))) for role, one in spec.tensors.items()}
    models.save_gguf(replace(spec, tensors=tensors), tmp_path / "base.gguf")
    found.append(make(tmp_path, "data").done(engine.DATA))
    assert len({one.facts.base.sha256 for one in found}) == 3
    hashed: list[str] = []
    read = files.sha256_file
    monkeypatch.setattr(files, "sha256_file", lambda path: (hashed.append(Path(path).suffix), read(path))[1])
    assert make(tmp_path, "data").done(engine.DATA) == found[2]
    assert ".gguf" not in hashed


def test_a_folder_of_a_pair_sees(tmp_path: Path) -> None:
    spec = write_pair(tmp_path, "m.gguf", "mmproj-m.gguf")
    read = models.load(tmp_path)
    assert read.vision is not None and spec.vision is not None
    assert {role: bytes(one.data) for role, one in read.vision.tensors.items()} == {
        role: bytes(one.data) for role, one in spec.vision.tensors.items()
    }
    write_pair(tmp_path, "other.gguf", "mmproj-other.gguf")
    with pytest.raises(TinsmithError, match="config.json"):  # which half is whose?
        models.load(tmp_path)


def test_a_recipe_names_both(tmp_path: Path) -> None:
    write_pair(tmp_path, "base.gguf", "half.gguf")
    place = data_stage(tmp_path)
    assert models.load(place).vision is not None
    assert sorted(file.name for file in place.iterdir()) == ["mmproj.gguf", "model.gguf"]
    recipe = recipes.load(tmp_path / "recipe.toml")
    assert recipe.base is not None
    assert recipe.base.mmproj == "half.gguf"
    # A recipe without is what it was before the key was there.


def test_what_fits_not_together_is_told(tmp_path: Path) -> None:
    write_pair(tmp_path, "wide.gguf", "half.gguf", width=96)
    write_pair(tmp_path, "base.gguf", "other.gguf")
    with pytest.raises(TinsmithError, match=r"mmproj.*projection_dim.* 96.*width is 64"):
        data_stage(tmp_path)
    (tmp_path / "half.gguf").unlink()
    with pytest.raises(TinsmithError, match=r"recipe.toml: \[base\] mmproj: .*half.gguf: no such file"):
        data_stage(tmp_path)
