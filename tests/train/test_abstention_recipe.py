"""A recipe that states an error rate: its threshold is chosen on validation, sealed, and obeyed."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

import tinsmith
from tinsmith import cli
from tinsmith.data.readers import read_jsonl
from tinsmith.evaluate import surety
from tinsmith.formats.tin import Tin


def made(recipe: Path, capsys: pytest.CaptureFixture[str], eval: str) -> dict[str, dict[str, object]]:
    recipe.write_text(recipe.read_text().replace("[eval]\n", f"[eval]\n{eval}"))
    recipe.write_text(recipe.read_text() + '[constraint]\nchoices = "labels"\n')
    assert cli.main(["make", str(recipe), "--out", str(recipe.parent / "run")]) == 0
    capsys.readouterr()
    report = json.loads((recipe.parent / "run" / "report.json").read_text())
    systems: dict[str, dict[str, object]] = report["systems"]
    return systems


def test_a_threshold_is_chosen_sealed_and_obeyed(
    small_recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = small_recipe.parent
    systems = made(small_recipe, capsys, "max_error = 0.4\n")
    assert "abstention" not in systems["tuned"]
    held = Tin(folder / "run" / "small-q8_0.tin").manifest["abstention"]
    assert held["error"] == 0.4
    model = tinsmith.load(folder / "run" / "small-q8_0.tin", threads=1)
    for kind, name, options in (
        ("unconstrained", "shipped_q8_0", {"constraint": None}),
        ("constrained", "shipped_q8_0_constrained", {}),
    ):
        stated = systems[name]["abstention"]
        assert isinstance(stated, dict)
        assert stated["threshold"] == held[kind]
        least = math.inf if held[kind] is None else held[kind]
        seen = {}
        for split in ("validation", "test"):
            examples = read_jsonl(folder / f"{split}.jsonl")
            answers = [
                model.chat([{"role": "user", "content": one.input}], max_tokens=4, **options)
                for one in examples
            ]
            logs = [answer.log_probability or 0.0 for answer in answers]
            right = [answer.text.strip() == one.output for answer, one in zip(answers, examples, strict=True)]
            seen[split] = logs, right
            assert [answer.confident for answer in answers] == [log >= least for log in logs]
            point = surety.at(logs, right, held[kind])
            assert (stated[split]["coverage"], stated[split]["risk"]) == (point.coverage, point.risk)
        assert surety.threshold(*seen["validation"], 0.4) == held[kind]
    page = (folder / "run" / "report.html").read_text(encoding="utf-8")
    assert "Abstention" in page
    # Another constraint than the file's own has no threshold of its own, and neither have other skills.
    other = model.chat(
        [{"role": "user", "content": "a"}], max_tokens=4, constraint=tinsmith.choices(["x", "y"])
    )
    assert other.confident is None
    assert cli.main(["run", str(folder / "run" / "small-q8_0.tin"), "a", "--json", "--max-tokens", "4"]) == 0
    told = json.loads(capsys.readouterr().out)
    answer = model.chat([{"role": "user", "content": "a"}], max_tokens=4)
    assert (told["confident"], told["text"]) == (answer.confident, answer.text)


def test_without_an_error_rate_nothing_is_asked(small_recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    systems = made(small_recipe, capsys, "")
    assert all("abstention" not in system for system in systems.values())
    tin = small_recipe.parent / "run" / "small-q8_0.tin"
    assert "abstention" not in Tin(tin).manifest
    assert not list((small_recipe.parent / "run" / "eval").glob("*_validation.jsonl"))
    answer = tinsmith.load(tin, threads=1).chat([{"role": "user", "content": "a"}], max_tokens=4)
    assert (answer.confident, answer.log_probability) == (None, None)
