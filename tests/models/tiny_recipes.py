"""A run that takes seconds: a recipe's folder with a tiny base, and examples that ask about numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.models.tiny_models import tiny_spec
from tests.models.transformers_models import CHATML
from tinsmith import models
from tinsmith.spec import Spec

BASE = """\
[base]
model = "base.gguf"
[data]
train = "train.jsonl"
validation = "validation.jsonl"
test = "test.jsonl"
"""
# Whole, and made in seconds.
SMALL = (
    BASE
    + """\
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
)


def parity(number: int) -> str:
    return ("even", "odd")[number % 2]


def call(number: int) -> str:
    return json.dumps({"name": "Set", "arguments": {"n": number}})


def write_home(
    folder: Path, recipe: str, answer: Callable[[int], str], spec: Spec | None = None, name: str = "home"
) -> Path:
    """Writes the recipe NAME.toml, whose path is returned, and what BASE names. spec: of the base, a llama."""
    base = replace(spec or tiny_spec("llama"), chat_template=CHATML)
    models.save_gguf(base, folder / "base.gguf")
    for split, numbers in (("train", range(12)), ("validation", range(12, 15)), ("test", range(15, 18))):
        rows = [{"input": f"number {n}", "output": answer(n)} for n in numbers]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = folder / f"{name}.toml"
    path.write_text(recipe)
    return path
