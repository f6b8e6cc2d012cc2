"""The quality matrix, on a tiny model."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.models.tiny_models import tiny_spec, with_controls
from tests.models.tiny_recipes import SMALL, parity, write_home
from tinsmith import models

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "quality.py"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return write_home(tmp_path, SMALL, parity, name="parity")


def ended(recipe: Path, *more: str) -> subprocess.CompletedProcess[str]:
    bases = f"tiny={recipe.parent / 'base.gguf'}"
    words = [sys.executable, str(SCRIPT), "--work", str(recipe.parent / "out"), "--bases", bases, *more]
    return subprocess.run(words, capture_output=True, text=True, cwd=SCRIPT.parents[1])


def cells(recipe: Path, *more: str) -> tuple[list[dict[str, Any]], str]:
    run = ended(recipe, "--tasks", str(recipe), *more)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)["cells"], run.stderr


@pytest.mark.slow
def test_each_cell_is_measured_once(recipe: Path) -> None:
    options = ("--seeds", "0,1", "--lever", "large=train.learning_rate = 0.01")
    found, _ = cells(recipe, *options)
    assert [(cell["Seed"], cell["Setting"]) for cell in found] == [
        (0, "as it is"),
        (0, "large"),
        (1, "as it is"),
        (1, "large"),
    ]
    for cell in found:
        assert cell["Base"] == "tiny"
        assert cell["Items"] == 3
        assert {"Exact, unconstrained, %", "Exact, constrained, %"} <= set(cell)
    again, said = cells(recipe, *options)
    assert again == found
    assert said.count("train: up to date") == 4


@pytest.mark.slow
def test_a_cell_has_the_parts_of_its_test_set_and_its_row_has_none(recipe: Path) -> None:
    test = recipe.parent / "test.jsonl"
    rows = [json.loads(line) for line in test.read_text().splitlines()]
    parts = ("seen", "seen", "unseen")
    test.write_text(
        "".join(json.dumps(row | {"part": part}) + "\n" for row, part in zip(rows, parts, strict=True))
    )
    out = recipe.parent / "figures.json"
    [cell] = cells(recipe, "--out", str(out))[0]
    part = cell.pop("Exact by part, %")
    assert set(part) == {"unconstrained", "constrained"}
    for way, found in part.items():
        assert set(found) == {"seen", "unseen"}
        assert (2 * found["seen"] + found["unseen"]) / 3 == pytest.approx(cell[f"Exact, {way}, %"], abs=0.1)
    [shown] = json.loads(out.read_text())["records"][0]["rows"]
    exact, interval = cell["Exact, unconstrained, %"], cell["95 % interval, unconstrained"]
    assert shown["Unconstrained, %"] == f"{exact} ({interval})"
    assert shown["Training, s"] == cell["Training, s"]
    assert not {"Setting", "Exact by part, %"} & set(shown)


@pytest.mark.slow
def test_a_cell_that_is_not_measured_is_empty(recipe: Path) -> None:
    [measured] = cells(recipe)[0]
    first, second = cells(recipe, "--budget-minutes", "0", "--seeds", "0,1")[0]
    assert first == measured
    assert "Items" not in second
    recipe.write_text(SMALL.replace("epochs = 1", "epochs = 2"))
    [changed] = cells(recipe, "--budget-minutes", "0")[0]
    assert "Items" not in changed


def test_a_base_without_a_template_gets_one_of_its_tokens(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import quality

    base, spec = recipe.parent / "base.gguf", tiny_spec("llama")
    no_chatml = replace(spec.tokenizer, types=["normal"] * len(spec.tokenizer.types))
    tokenizer = with_controls(no_chatml, ["<start_of_turn>", "<end_of_turn>"])
    models.save_gguf(replace(spec, tokenizer=tokenizer, chat_template=None), base)
    cell = quality.Cell(f"tiny={base}", str(recipe), "en", 0, quality.AS_IT_IS)
    assert quality.stated(cell, "", "Q8_0")["base"]["template"] == "gemma"
    assert quality.stated(cell, "base.template = 'plain'", "Q8_0")["base"]["template"] == "plain"


def test_a_changed_test_set_is_refused(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import quality

    monkeypatch.setitem(quality.TASKS, "parity", quality.Task(str(recipe), {"en": "00000000"}))
    with pytest.raises(SystemExit, match="parity, en: the test set is [0-9a-f]{8}, not the frozen 00000000"):
        quality.stated(quality.Cell("tiny", "parity", "en", 0, quality.AS_IT_IS), "", "Q8_0")
