"""`[build] mtp`: the base's layer that predicts a further token ships beside what was trained."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")

from predicting import predicting_spec
from tiny_models import tiny_spec
from transformers_models import CHATML

from tinsmith import models
from tinsmith.compiler.mtp import PROGRAM
from tinsmith.errors import UnsupportedError
from tinsmith.formats.tin import Tin
from tinsmith.pipeline import build, recipe, stages
from tinsmith.system import progress

RECIPE = """\
[base]
model = "base.gguf"
[data]
train = "train.jsonl"
validation = "validation.jsonl"
test = "test.jsonl"
[train]
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


def made(folder: Path, method: str) -> recipe.Recipe:
    (folder / "home.toml").write_text(RECIPE.replace("METHOD", method))
    for name, numbers in (("train", range(6)), ("validation", range(6, 8)), ("test", range(8, 10))):
        rows = [
            {"input": f"number {n}", "output": json.dumps({"name": "Set", "arguments": {"n": n}})}
            for n in numbers
        ]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return recipe.load(folder / "home.toml")


@pytest.mark.parametrize("method", ["lora", "full"])
def test_it_is_the_bases_beside_what_was_trained(tmp_path: Path, method: str) -> None:
    base = replace(predicting_spec(), chat_template=CHATML)
    models.save_gguf(base, tmp_path / "base.gguf")
    run = stages.make(made(tmp_path, method), tmp_path / "run", progress.PlainDisplay(), stages.BUILD.name)
    (sealed,) = build.unsealed(run, run.done(stages.BUILD)).values()
    assert PROGRAM in Tin(sealed).names
    merged = models.load(tmp_path / "run" / "merged", mtp=True)
    for role, tensor in base.tensors.items():
        kept = bytes(merged.tensors[role].data) == bytes(tensor.data)
        assert kept or not role.startswith("mtp."), role
    assert any(bytes(merged.tensors[role].data) != bytes(base.tensors[role].data) for role in base.tensors)


def test_a_base_without_it_is_refused_before_training(tmp_path: Path) -> None:
    models.save_gguf(replace(tiny_spec("qwen35"), chat_template=CHATML), tmp_path / "base.gguf")
    with pytest.raises(UnsupportedError, match="multi-token prediction layer.*leave out mtp"):
        stages.make(made(tmp_path, "lora"), tmp_path / "run", progress.PlainDisplay(), stages.BUILD.name)
    assert not (tmp_path / "run" / "merged").exists()
