"""Which stages there are, and that what they hand on is what the next ones take."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import pytest

from tests.models.tiny_recipes import BASE, call, write_home
from tinsmith.pipeline import engine, recipe, update
from tinsmith.pipeline.engine import STAGES
from tinsmith.pipeline.stage import Reporter
from tinsmith.pipeline.stages.train import make as training
from tinsmith.pipeline.stages.train.plan import Inputs
from tinsmith.system.progress import Silent
from tinsmith.train.steps import together

SOURCE = Path(__file__).parents[2] / "src" / "tinsmith"


@pytest.mark.parametrize("place", range(len(STAGES)), ids=[stage.name for stage in STAGES])
def test_a_stage_takes_what_earlier_ones_leave(place: int) -> None:
    assert set(STAGES[place].after) <= {stage.name for stage in STAGES[:place]}


def test_nothing_below_knows_a_run_or_a_recipe() -> None:
    above = {"pipeline", "cli"}
    for path in SOURCE.rglob("*.py"):
        if path.relative_to(SOURCE).parts[0] not in above:
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"tinsmith\.pipeline|tinsmith import (.*, )?pipeline", text), path


def test_all_processes_learn_from_the_same_prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[bytes] = []
    learned: list[dict[str, Any]] = []

    def train(inputs: Inputs, folder: Path, reporter: Reporter) -> None:
        learned.append({"quotes_input": inputs.data.recipe.quotes_input, "inputs": inputs.decides})
        raise InterruptedError

    monkeypatch.setattr(training, "train", train)
    monkeypatch.setattr(update, "check", lambda *given: None)
    monkeypatch.setattr(together, "from_first", lambda value: told.append(pickle.dumps(value)))
    home = write_home(tmp_path, BASE + 'task = "call"\n', call)
    with pytest.raises(InterruptedError):
        engine.make(recipe.load(home), tmp_path / "run", Silent(), "train")
    monkeypatch.setattr(together, "from_first", lambda value: pickle.loads(told[0]))
    with pytest.raises(InterruptedError):
        engine.help_train(recipe.load(home), tmp_path / "run", Silent())
    first, second = learned
    assert first["quotes_input"] is second["quotes_input"] is True
    assert first["inputs"] == second["inputs"]
