"""A tiny model and a task that it learns in seconds; see tiny_training.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import tiny_spec
from tiny_training import PAIRS, make_spec
from transformers_models import CHATML

from tinsmith import models
from tinsmith.data.readers import Example
from tinsmith.spec import Spec

SMALL_RECIPE = """\
[base]
model = "base.gguf"
[data]
train = "train.jsonl"
validation = "validation.jsonl"
test = "test.jsonl"
task = "classify"
[train]
epochs = 1
[build]
formats = ["Q8_0"]
context = 256
[eval]
baselines = ["nearest"]
max_tokens = 4
threads = 1
"""


@pytest.fixture
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a bfloat16 product rounds is another where a part is another."""
    from tinsmith.train import devices, network

    for module in (devices, network):
        monkeypatch.setattr(module, "has_fast_bfloat16", lambda device: False)


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def spec() -> Spec:
    return make_spec()


@pytest.fixture
def examples() -> list[Example]:
    """Letters to digits: what the answer is can be read off the input."""
    return [Example(f"{first}{second}" * (1 + i % 3), f"{i % 7}") for i, (first, second) in enumerate(PAIRS)]


@pytest.fixture
def events() -> tuple[list[Any], Callable[[Any], None]]:
    seen: list[Any] = []
    return seen, seen.append


@pytest.fixture
def small_recipe(tmp_path: Path) -> Path:
    """A recipe of small.toml that trains, by a method to be stated, and builds one file in seconds."""
    models.save_gguf(replace(tiny_spec("llama"), chat_template=CHATML), tmp_path / "base.gguf")
    for name, numbers in (("train", range(12)), ("validation", range(12, 15)), ("test", range(15, 18))):
        rows = [{"input": f"number {n}", "output": ("even", "odd")[n % 2]} for n in numbers]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "small.toml").write_text(SMALL_RECIPE)
    return tmp_path / "small.toml"
