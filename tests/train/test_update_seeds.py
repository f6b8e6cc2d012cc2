"""Several seeds that go on from one adapter: each from the same, and their mean is measured as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.train.tiny_training import encode, train
from tests.train.updating import NEW, OLD, ROWS, make_plan, train_one
from tinsmith.data.preferences import Preference
from tinsmith.spec import Spec
from tinsmith.train import methods
from tinsmith.train.adapters import peft_folder
from tinsmith.train.events import CONTINUED, RETRAINED, START
from tinsmith.train.job import Job
from tinsmith.train.methods.lora import AdapterTrainee
from tinsmith.train.options import TrainOptions
from tinsmith.train.trials import seeds
from tinsmith.train.update import Plan, update

OPTIONS = TrainOptions(
    epochs=2, rank=4, learning_rate=5e-3, batch_tokens=60, renew=2, qat=None, threads=1, task="classify"
)


@pytest.fixture(scope="module")
def learned(spec: Spec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train("lora", spec, OLD, OLD, replace(OPTIONS, epochs=20), tmp_path_factory.mktemp("learned")).folder


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def mean_is_best(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeds, "_is_better", lambda mean, others: True)


@pytest.mark.usefixtures("mean_is_best")
def test_each_seed_starts_from_the_same_adapter(spec: Spec, learned: Path, tmp_path: Path) -> None:
    more: dict[str, Any] = {"start": learned, "known": OLD}
    result = train("lora", spec, NEW, ROWS, replace(OPTIONS, seeds=2), tmp_path / "both", **more)
    folders = [tmp_path / "both" / "seeds" / seed / "adapter" for seed in "01"]
    for seed, folder in enumerate(folders):
        alone = train("lora", spec, NEW, ROWS, replace(OPTIONS, offset=seed), tmp_path / f"{seed}", **more)
        assert files_of(folder) == files_of(alone.folder)
    assert files_of(folders[0]) != files_of(folders[1])
    singles = [peft_folder.read(folder, spec).factors for folder in folders]
    for role, factors in peft_folder.read(result.folder, spec).factors.items():
        wanted = (singles[0][role].update() + singles[1][role].update()) / 2
        np.testing.assert_allclose(factors.update(), wanted, atol=1e-6 * np.abs(wanted).max(), rtol=1e-5)
    # Training goes on from the mean, whether the recipe states its rank or that of its runs.
    for rank in (8, 4):
        options = replace(OPTIONS, rank=rank, epochs=1, learning_rate=1e-6)
        further = train("lora", spec, NEW, ROWS, options, tmp_path / f"further {rank}", start=result.folder)
        assert further.validations[-1].loss == pytest.approx(result.seeds[-1].loss, abs=1e-3)
        assert peft_folder.rank(further.folder) == 8
        assert peft_folder.mean_of(further.folder) == 8 // rank


def test_a_mean_begins_as_the_adapter_that_all_started_from(spec: Spec, tmp_path: Path) -> None:
    """What is computed before the first step, such as a reference, is the same with any number of seeds."""
    start = train("lora", spec, OLD, OLD, OPTIONS, tmp_path / "start").folder
    losses = []
    for count in (1, 3):
        job = Job(spec, NEW, OLD, replace(OPTIONS, mean_of=count), tmp_path, encode, start=start)
        losses.append(methods.by_name("lora").trainee(job).validate()[0])
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    plain = methods.by_name("lora").trainee(Job(spec, NEW, OLD, OPTIONS, tmp_path, encode))
    assert plain.validate()[0] > losses[0] + 0.1


def test_preferences_of_several_seeds_hold_to_the_adapter(spec: Spec, learned: Path, tmp_path: Path) -> None:
    pairs = [Preference(row.input, (row.output, "x")) for row in OLD]
    more: dict[str, Any] = {"preferences": pairs, "validation_preferences": pairs, "start": learned}
    options = replace(OPTIONS, seeds=2, learning_rate=1e-6, epochs=1)
    result = train("dpo", spec, (), (), options, tmp_path, **more)
    assert [row.loss for row in result.seeds] == pytest.approx([np.log(2)] * 3, abs=0.01)


@pytest.fixture
def plan(spec: Spec, learned: Path, tmp_path: Path) -> Plan:
    return make_plan(spec, learned, tmp_path, replace(OPTIONS, seeds=2, epochs=8))


@pytest.mark.usefixtures("mean_is_best")
def test_the_mean_is_measured_and_compared(plan: Plan, tmp_path: Path) -> None:
    trained: list[str] = []
    result, outcome = update(plan, train_one(trained), lambda line: None)
    assert trained == [CONTINUED, RETRAINED]
    assert list(outcome.scores) == [START, CONTINUED, RETRAINED]
    assert peft_folder.rank(result.folder) == 2 * OPTIONS.rank
    assert result.worth == (result.seeds[-1].exact, -result.seeds[-1].loss)
    # The validation rows are the tests here: what the mean came to must come out again.
    pooled = outcome.scores[outcome.kept]
    assert (15 * pooled["old test"].exact + 6 * pooled["new test"].exact) / 21 == pytest.approx(result.worth[0])
    assert update(plan, train_one(trained), lambda line: None) == (result, outcome)
    assert trained == [CONTINUED, RETRAINED]


def test_the_better_is_told_by_what_is_kept_of_the_seeds(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Going on is the better by its mean alone."""
    plain = AdapterTrainee.examine

    def examine(trainee: Any) -> tuple[float, float]:
        loss, _ = plain(trainee)
        is_mean = next(iter(trainee.network.linears.values())).r["default"] == 8
        started = trainee.replay is not None
        if is_mean:
            return (0.0, 0.9) if started else (100.0, 0.1)
        return loss, 0.3 if started else 0.5

    monkeypatch.setattr(AdapterTrainee, "examine", examine)
    result, outcome = update(plan, train_one([]), lambda line: None)
    assert outcome.kept == CONTINUED
    assert result.worth[0] == 0.9
    assert peft_folder.rank(result.folder) == 2 * OPTIONS.rank
