"""How the pipeline is built: bounds of what scripts/structure.py measures, and the engine's diagram."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from tinsmith.pipeline import engine
from tinsmith.pipeline.run import Stage

SCRIPT = Path(__file__).parents[2] / "scripts" / "structure.py"
FLOORS, ROOMS = 8, 29


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    done = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_imports_within_the_pipeline_form_short_chains(measured: dict[str, Any]) -> None:
    assert measured["floors"] == len(measured["chain"]) <= FLOORS, measured["chain"]


def test_a_stage_enters_few_modules(measured: dict[str, Any]) -> None:
    makes = {(stage.make.__module__, stage.make.__name__) for stage in stages()}
    names = {f"{module.removeprefix('tinsmith.pipeline.stages.')}:{name}" for module, name in makes}
    assert measured["rooms"].keys() == names
    assert {name: count for name, count in measured["rooms"].items() if not 2 < count <= ROOMS} == {}


def stages() -> list[Stage[Any, Any]]:
    return [*engine.STAGES, *engine.STAGES_OF_TASKS]


def drawn(stage: Stage[Any, Any]) -> str:
    """The stage's line of the diagram."""
    fields = [field.name for field in dataclasses.fields(get_type_hints(stage.inputs)["return"])]
    after = f" after {', '.join(stage.after)}" if stage.after else ""
    return f"{stage.name}: {', '.join(fields)} -> {stage.facts.__name__}{after}"


@pytest.mark.parametrize("group", [engine.STAGES, engine.STAGES_OF_TASKS], ids=["one task", "several"])
def test_the_diagram_shows_what_each_stage_reads_and_leaves(group: tuple[Stage[Any, Any], ...]) -> None:
    text = " ".join((engine.__doc__ or "").split())
    assert " ".join(map(drawn, group)) in text


def test_the_inputs_of_a_stage_are_frozen_and_none_holds_a_run() -> None:
    for stage in stages():
        kind = get_type_hints(stage.inputs)["return"]
        assert kind.__dataclass_params__.frozen
        assert engine.Run not in get_type_hints(kind).values()
