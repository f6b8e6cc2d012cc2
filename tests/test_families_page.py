"""docs/families.md says what the tests show, of every family, and nothing else."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from tests.models.proofs import proved_by
from tests.models.tiny_models import cases
from tinsmith.models.family import families

ROOT = Path(__file__).parents[1]
AGAIN = "run scripts/families.py"


Answers = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def answers() -> Answers:
    recorded: Answers = json.loads((ROOT / "docs" / "families.json").read_text("utf-8"))
    return recorded


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("families_script", ROOT / "scripts" / "families.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_results_say(script: ModuleType, answers: Answers) -> None:
    assert (ROOT / "docs" / "families.md").read_text("utf-8") == script.render(answers), AGAIN


def test_every_tiny_model_and_every_proof_has_its_answer(
    script: ModuleType, answers: Answers, request: pytest.FixtureRequest
) -> None:
    assert set(answers) == set(cases()), AGAIN
    assert {script.family_of(case).name for case in cases()} == {family.name for family in families()}
    for item in request.session.items:
        for case, column in proved_by(item):
            assert column in script.COLUMNS
            assert column in answers[case], AGAIN


def test_no_answer_is_a_failure(answers: Answers) -> None:
    given = {answer for columns in answers.values() for answer in columns.values()}
    assert not given & {"failed", "skipped"}


def test_a_no_for_one_tiny_model_is_no_yes_of_its_family(script: ModuleType, answers: Answers) -> None:
    assert "| yes | yes |" in script.render(answers)
    changed = {case: dict(columns) for case, columns in answers.items()}
    changed["llama-3"]["native"] = "the reason"
    assert "in part [" in script.render(changed)
    assert "llama-3, native: the reason." in script.render(changed)
