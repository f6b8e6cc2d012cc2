"""The script that adds functions to a task, on a tiny model."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.models.tiny_models import tiny_spec
from tests.models.tiny_recipes import BASE
from tests.models.transformers_models import CHATML
from tinsmith import models

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "continual.py"
RECIPE = f"""\
{BASE}augment = false
[train]
epochs = 1
[build]
context = 256
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    models.save_gguf(replace(tiny_spec("llama"), chat_template=CHATML), tmp_path / "base.gguf")
    for split, count in (("train", 40), ("validation", 9), ("test", 9)):
        rows = [
            {"input": f"{split} {n}", "output": json.dumps({"name": "ABC"[n % 3], "arguments": {}})}
            for n in range(count)
        ]
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return tmp_path / "recipe.toml"


def measured(recipe: Path, *more: str) -> tuple[dict[str, Any], str]:
    words = [sys.executable, str(SCRIPT), str(recipe), "--work", str(recipe.parent / "out"), "--functions", "C"]
    ended = subprocess.run(
        [*words, "--old", "20", "--new", "8", *more],
        capture_output=True,
        text=True,
        check=True,
        cwd=SCRIPT.parents[1],
    )
    return json.loads(ended.stdout), ended.stderr


@pytest.mark.slow
def test_functions_are_added_and_compared(recipe: Path) -> None:
    lever = "quick=update.retrain = 'never'; update.learning_rate = 0.001"
    found, _ = measured(recipe, "--lever", lever)
    assert found["examples"] == {
        "train": {"old": 20, "new": 8},
        "validation": {"old": 6, "new": 3},
        "test": {"old": 6, "new": 3},
    }
    plain, quick = found["levers"]["as it is"], found["levers"]["quick"]
    for row in (plain, quick):
        assert len(row["old_after"]["each"]) == 1
        assert row["new_together"] == plain["new_together"]
        assert row["time"] > 0
        assert set(row["criteria"].values()) <= {True, False}
    assert quick["kept"] == ["continued"]
    again, said = measured(recipe, "--lever", lever)
    assert again == found
    assert said.count("train: up to date") == 3
