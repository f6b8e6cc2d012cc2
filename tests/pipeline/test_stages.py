"""Which stages there are, and that what they hand on is what the next ones take."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_recipes import BASE, call, write_home
from transformers_models import CHATML

from tinsmith.pipeline import engine, recipe, update
from tinsmith.pipeline.engine import STAGES
from tinsmith.pipeline.run import SPELL
from tinsmith.pipeline.stage import Reporter
from tinsmith.pipeline.stages.train import make as training
from tinsmith.pipeline.stages.train.inputs import Inputs
from tinsmith.system.progress import Silent
from tinsmith.train.adapters import peft_folder
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


def go_on(folder: Path) -> None:
    """The recipe goes on from an adapter that an earlier version trained on prompts as they are; all but its
    template is made up."""
    (folder / "old").mkdir()
    for name in (peft_folder.CONFIG, peft_folder.WEIGHTS):
        (folder / "old" / name).write_bytes(b"")
    (folder / "old" / peft_folder.TEMPLATE).write_text(CHATML)
    rows = [{"input": f"level {n}", "output": call(n)} for n in range(20, 24)]
    (folder / "new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with (folder / "home.toml").open("a") as file:
        file.write('[update]\nadapter = "old"\ndata = "new.jsonl"\n')


def forget_spelling(folder: Path) -> None:
    """The run was trained by an earlier version, with other values."""
    record = {"inputs": {}, "inputs_sha256": "", "outputs": {}, "facts": {}, "seconds": 1.0, "finished": ""}
    (folder / "run").mkdir()
    (folder / "run" / "run.json").write_text(json.dumps({"stages": {"train": record}}))


@pytest.mark.parametrize(
    ("before", "spells"),
    [(lambda folder: None, True), (go_on, False), (forget_spelling, False)],
    ids=["new", "update", "older run"],
)
def test_all_processes_learn_from_the_same_prompts(
    before: Callable[[Path], None], spells: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[bytes] = []
    learned: list[dict[str, Any]] = []

    def train(inputs: Inputs, folder: Path, reporter: Reporter) -> None:
        learned.append({"spells": inputs.data.recipe.quotes_input, "inputs": inputs.decides})
        raise InterruptedError

    monkeypatch.setattr(training, "train", train)
    monkeypatch.setattr(update, "check", lambda *given: None)
    monkeypatch.setattr(together, "from_first", lambda value: told.append(pickle.dumps(value)))
    home = write_home(tmp_path, BASE + 'task = "call"\n', call)
    before(tmp_path)
    with pytest.raises(InterruptedError):
        engine.make(recipe.load(home), tmp_path / "run", Silent(), "train")
    monkeypatch.setattr(together, "from_first", lambda value: pickle.loads(told[0]))
    with pytest.raises(InterruptedError):
        engine.help_train(recipe.load(home), tmp_path / "run", Silent())
    first, second = learned
    assert first["spells"] is second["spells"] is spells
    assert first["inputs"] == second["inputs"]
    assert (SPELL in first["inputs"]) is spells
