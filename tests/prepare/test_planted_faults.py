"""Of twelve kinds of faults planted in calls and texts, nearly all are found, and good rows are let be: a small
run of benchmarks/data_check.py."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

from tests.models.tiny_models import tiny_spec
from tinsmith import models

ROOT = Path(__file__).parents[2]
SEED = 7  # the checks were tuned on another


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        module = importlib.import_module("data_check")
    return module


@pytest.mark.slow
def test_planted_faults_are_found(benchmark: ModuleType, tmp_path: Path) -> None:
    models.save_hf(tiny_spec("llama"), tmp_path / "base")
    given = benchmark.home(SEED, tmp_path / "home", train=500, validation=60, part=20)
    result = benchmark.measure(given, tmp_path / "home", SEED, 5, str(tmp_path / "base"))
    assert len(result["recall_by_kind"]) == 12
    assert result["recall"] >= 0.95, result["missed"]
    assert min(result["recall_by_kind"].values()) >= 0.6, result["missed"]
    assert result["clean_alarms"] <= 0.01, result["clean_alarms_by_kind"]


def test_planted_faults_are_found_in_texts_of_classes(benchmark: ModuleType, tmp_path: Path) -> None:
    given = benchmark.docstrings(SEED, most=1200)
    result = benchmark.measure(
        given, tmp_path / "texts", SEED, 8, None, benchmark.KINDS["classify"].keys() - {"too_long"}
    )
    assert result["recall"] >= 0.95, result["missed"]
