"""The learning rate by search: what it costs, what it finds, and that it goes on after a kill."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from tests.train.tiny_training import PAIRS, train
from tinsmith import models
from tinsmith.data.preferences import Preference
from tinsmith.data.readers import Example
from tinsmith.errors import InputError
from tinsmith.spec import Spec
from tinsmith.train.events import Preparing, Started, Step, Trial, Trying
from tinsmith.train.methods._preferences import PreferenceTrainee
from tinsmith.train.options import TrainOptions
from tinsmith.train.trials import rates

OPTIONS = TrainOptions(epochs=3, rank=4, batch_tokens=20, qat=None, threads=1, search=0.8)


class Killed(BaseException):
    pass


def killing_after(trials: int) -> Callable[[Any], None]:
    told: list[Any] = []

    def kill(event: Any) -> None:
        told.extend([event] * isinstance(event, Trial))
        if len(told) == trials:
            raise Killed

    return kill


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TINSMITH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / rates.FOLDER


@pytest.mark.parametrize(
    ("steps", "budget", "counts"), [(1000, 0.5, [7, 4, 2]), (174, 0.5, [5, 3, 2]), (80, 0.5, [3, 2])]
)
def test_the_trials_stay_within_the_budget(steps: int, budget: float, counts: list[int]) -> None:
    plan = rates.rungs(steps, budget)
    assert [rung.candidates for rung in plan] == counts
    assert all(later.steps == 2 * rung.steps for rung, later in itertools.pairwise(plan))
    taken, cost = 0, 0
    for rung in plan:
        cost += rung.candidates * (rung.steps - taken)
        taken = rung.steps
    assert cost <= budget * steps
    assert plan[0].steps >= rates.LEAST_STEPS


def test_too_little_to_search_with() -> None:
    assert rates.rungs(100, 0.3)
    with pytest.raises(InputError, match=r"trials of 0.1 times the 100 steps .*; give a learning rate"):
        rates.rungs(100, 0.1)


def test_candidates_lie_around_the_middle() -> None:
    assert rates.candidates(2e-3, 5) == [5e-4, 1e-3, 2e-3, 4e-3, 8e-3]


def run(spec: Spec, examples: list[Example], folder: Path, tell: Any = None, **options: Any) -> Any:
    tells = [tell] if tell else []
    return train("lora", spec, examples, examples[:6], replace(OPTIONS, **options), folder, *tells)


def test_the_best_of_the_trials_is_trained_with(spec: Spec, examples: list[Example], tmp_path: Path) -> None:
    seen: list[Any] = []
    result = run(spec, examples, tmp_path / "run", seen.append)
    trials = [event for event in seen if isinstance(event, Trial)]
    assert sorted(trials, key=repr) == sorted(result.trials, key=repr)
    last = [trial for trial in trials if trial.steps == max(trial.steps for trial in trials)]
    assert result.learning_rate == min(last, key=lambda trial: trial.loss).learning_rate
    assert result.trials[-1].learning_rate == result.learning_rate
    assert f"the best of {len({trial.learning_rate for trial in trials})} tried" in result.note
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["adapter"]
    steps = [event.step for event in seen if isinstance(event, Step)]
    assert steps == list(range(1, result.steps + 1))
    trying = [event for event in seen if isinstance(event, Trying)]
    assert [event.done for event in trying] == list(range(1, trying[-1].count + 1))
    last_of = {event.number: event for event in trying}
    assert list(last_of) == list(range(1, trying[-1].trials + 1))
    assert [event.learning_rate for event in last_of.values()] == [trial.learning_rate for trial in trials]
    assert all(event.loss > 0 for event in trying)
    # Trained with that rate and no search, the run is the same.
    stated = run(spec, examples, tmp_path / "stated", search=0.0, learning_rate=result.learning_rate)
    assert stated.curve == result.curve


def test_trials_validate_on_some_preferences(
    spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def examine(trainee: PreferenceTrainee) -> tuple[float, float]:
        seen.append(sum(len(batch) for batch in trainee.validation))
        return plain(trainee)

    plain = PreferenceTrainee.examine
    monkeypatch.setattr(PreferenceTrainee, "examine", examine)
    monkeypatch.setattr(rates, "VALIDATED", 7)
    pairs = [
        Preference(f"{first}{second}", (f"{n % 7}", f"{n % 5}!")) for n, (first, second) in enumerate(PAIRS)
    ]
    options = replace(OPTIONS, batch_tokens=30)
    result = train(
        "orpo", spec, (), (), options, tmp_path, preferences=pairs, validation_preferences=pairs[:12]
    )
    assert seen == [7] * len(result.trials) + [12] * options.epochs


@pytest.mark.slow
def test_what_was_found_is_not_searched_again(
    spec: Spec, examples: list[Example], tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(spec, examples, tmp_path / "first")
    seen: list[Any] = []
    second = run(spec, examples, tmp_path / "second", seen.append)
    assert not [event for event in seen if isinstance(event, Trial)]
    assert second.trials == first.trials
    assert len(list(cache.iterdir())) == 1
    run(spec, examples[1:], tmp_path / "third", seen.append)
    assert [event for event in seen if isinstance(event, Trial)]
    for path in cache.iterdir():
        path.write_text("[{}]")
    assert run(spec, examples, tmp_path / "fourth").trials == first.trials
    monkeypatch.setattr(rates.tinsmith, "__version__", "another")
    run(spec, examples, tmp_path / "fifth", (seen := []).append)
    assert [event for event in seen if isinstance(event, Trial)]


@pytest.mark.slow
def test_a_killed_search_goes_on(spec: Spec, examples: list[Example], tmp_path: Path) -> None:
    whole = run(spec, examples, tmp_path / "whole")
    for path in (tmp_path / "cache" / rates.FOLDER).iterdir():
        path.unlink()
    with pytest.raises(Killed):
        run(spec, examples, tmp_path / "killed", killing_after(4))
    seen: list[Any] = []
    resumed = run(spec, examples, tmp_path / "killed", seen.append)
    assert next(event.number for event in seen if isinstance(event, Trying)) == 5
    assert resumed.trials == whole.trials
    assert resumed.curve == whole.curve


def test_what_a_killed_search_left_goes_with_the_run_of_a_stated_rate(
    spec: Spec, examples: list[Example], tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        run(spec, examples, tmp_path, killing_after(1))
    assert (tmp_path / rates.FOLDER).exists()
    run(spec, examples, tmp_path, search=0.0, learning_rate=1e-3)
    assert not (tmp_path / rates.FOLDER).exists()


@pytest.mark.slow
def test_a_search_that_goes_on_with_another_budget_is_one_of_that_budget(
    spec: Spec, examples: list[Example], tmp_path: Path
) -> None:
    rows = examples * 3
    whole = run(spec, rows, tmp_path / "whole", search=0.5)
    for path in (tmp_path / "cache" / rates.FOLDER).iterdir():
        path.unlink()
    with pytest.raises(Killed):
        run(spec, rows, tmp_path / "killed", killing_after(9), search=0.9)
    assert run(spec, rows, tmp_path / "killed", search=0.5).trials == whole.trials


def test_what_a_teacher_prepares_is_told_once(spec: Spec, examples: list[Example], tmp_path: Path) -> None:
    models.save_hf(spec, tmp_path / "teacher")
    seen: list[Any] = []
    options = replace(OPTIONS, teacher="given")
    more = {"teacher": tmp_path / "teacher"}
    train("distill", spec, examples, examples[:6], options, tmp_path / "run", seen.append, **more)
    assert isinstance(seen[0], Preparing)
    begins = next(place for place, event in enumerate(seen) if isinstance(event, Started))
    during = [event for event in seen[:begins] if isinstance(event, Preparing)]
    # In the first trial, and by the run after the search.
    assert [event.done for event in during] == 2 * list(range(1, during[0].count + 1))


def test_a_rate_that_diverges_loses(
    spec: Spec, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "candidates", lambda middle, count: [1e-3, 1e30, 2e-3][:count])
    result = run(spec, examples, tmp_path / "run")
    assert result.learning_rate < 1
    astray = [trial for trial in result.trials if trial.learning_rate == 1e30]
    assert astray
    assert astray[0].loss is None
    # JSON has no infinity: what was found is read again all the same.
    seen: list[Any] = []
    assert run(spec, examples, tmp_path / "again", seen.append).trials == result.trials
    assert not [event for event in seen if isinstance(event, Trial)]
    json.loads(json.dumps([asdict(trial) for trial in result.trials], allow_nan=False))


def test_rates_that_all_diverge(
    spec: Spec, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "candidates", lambda middle, count: [1e30, 2e30, 3e30][:count])
    with pytest.raises(InputError, match=r"diverges at every rate from 1e\+30 to 3e\+30; state a smaller"):
        run(spec, examples, tmp_path / "run")
