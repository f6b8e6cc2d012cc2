"""`[build] mtp`: the base's layer that predicts a further token ships beside what was trained."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from tests.models.predicting import predicting_spec
from tests.models.tiny_models import tiny_spec
from tests.models.tiny_recipes import BASE, call, write_home
from tinsmith import models
from tinsmith.compiler.build import MTP_PROGRAM
from tinsmith.errors import UnsupportedError
from tinsmith.formats.tin import Tin
from tinsmith.pipeline import engine, recipe
from tinsmith.pipeline.run import Run
from tinsmith.spec import Spec
from tinsmith.system import progress

RECIPE = f"""\
{BASE}[train]
method = "METHOD"
epochs = 1
[build]
formats = ["F16"]
context = 256
mtp = true
[eval]
baselines = []
max_tokens = 8
threads = 1
"""


def made(folder: Path, method: str, base: Spec) -> Run:
    loaded = recipe.load(write_home(folder, RECIPE.replace("METHOD", method), call, base))
    return engine.make(loaded, folder / "run", progress.PlainDisplay(), engine.BUILD.name)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_it_is_the_bases_beside_what_was_trained(tmp_path: Path, method: str) -> None:
    base = predicting_spec()
    somebodys = tmp_path / "run" / "mmproj-home-f16.gguf"
    somebodys.parent.mkdir()
    somebodys.write_bytes(b"mine")
    run = made(tmp_path, method, base)
    assert somebodys.read_bytes() == b"mine" and somebodys.name not in run.done(engine.BUILD).outputs
    (sealed,) = engine.unsealed(run, run.done(engine.BUILD)).values()
    assert MTP_PROGRAM in Tin(sealed).names
    merged = models.load(tmp_path / "run" / "merged", mtp=True)
    for role, tensor in base.tensors.items():
        kept = bytes(merged.tensors[role].data) == bytes(tensor.data)
        assert kept or not role.startswith("mtp."), role
    assert any(bytes(merged.tensors[role].data) != bytes(base.tensors[role].data) for role in base.tensors)


def test_a_base_without_it_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="multi-token prediction layer.*leave out mtp"):
        made(tmp_path, "lora", tiny_spec("qwen35"))
    assert not (tmp_path / "run" / "merged").exists()
