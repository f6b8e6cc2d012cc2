"""Runs that differ by their seed: each is the run of that seed, what has ended is not run again, and of the
runs and their mean the best is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.train.tiny_training import REWARDED, Killed, digits, encode, train
from tinsmith import models
from tinsmith.data.preferences import Preference
from tinsmith.data.readers import Example
from tinsmith.spec import Spec
from tinsmith.train import merge, methods
from tinsmith.train.adapters import gguf as adapter_gguf
from tinsmith.train.adapters import peft_folder
from tinsmith.train.events import Seeded, Started, Step
from tinsmith.train.job import Job
from tinsmith.train.methods.lora import AdapterTrainee
from tinsmith.train.options import TrainOptions
from tinsmith.train.steps import checkpoint
from tinsmith.train.steps.trainee import Trainee
from tinsmith.train.trials import finished, rates, seeds

OPTIONS = TrainOptions(epochs=2, rank=4, learning_rate=5e-3, batch_tokens=60, qat=None, seed=5, threads=1)


def run(
    method: str, spec: Spec, examples: list[Example], folder: Path, tell: Any = None, **options: Any
) -> Any:
    more: dict[str, Any] = {"texts": ["the lamp in the kitchen is on, and the door is open"] * 8}
    pairs = [Preference(example.input, (example.output, "x")) for example in examples]
    ratings = [Preference(pair.input, (output,), output != "x") for pair in pairs for output in pair.outputs]
    more["preferences"] = ratings if method == "kto" else pairs
    if method == "distill":
        options |= {"teacher": "base"}
        more["teacher"] = folder.parent / "teacher"
        if not more["teacher"].exists():
            models.save_hf(spec, more["teacher"])
    if method == "grpo":
        options |= REWARDED
        more["constraint"] = digits()
    given = replace(OPTIONS, **options)
    return train(method, spec, examples, examples[:6], given, folder, *([tell] if tell else []), **more)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("qat", [None, "Q4_0"])
def test_each_is_the_run_of_its_seed(
    qat: str | None, spec: Spec, examples: list[Example], tmp_path: Path
) -> None:
    result = run("lora", spec, examples, tmp_path / "three", seeds=3, qat=qat)
    assert [row.seed for row in result.seeds] == [5, 6, 7, None]
    assert sum(row.kept for row in result.seeds) == 1
    for offset, row in enumerate(result.seeds[:3]):
        single = run("lora", spec, examples, tmp_path / f"{row.seed}", offset=offset, qat=qat)
        assert row.curve == single.curve
        assert bytes_of(tmp_path / "three/seeds" / f"{row.seed}" / "adapter") == bytes_of(single.folder)
        best = max(single.validations, key=lambda one: (one.exact, -one.loss))
        assert (row.exact, row.loss) == (best.exact, best.loss)


@pytest.mark.parametrize("better", [False, True])
def test_what_validates_best_is_kept(
    better: bool, spec: Spec, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, is_mean = AdapterTrainee.examine, []
    take = AdapterTrainee.take_mean
    monkeypatch.setattr(AdapterTrainee, "take_mean", lambda *given: (is_mean.append(1), take(*given))[1])

    def examine(trainee: Any) -> tuple[float, float]:
        loss, exact = plain(trainee)
        return (0.0 if better else 100.0, exact) if is_mean else (loss, exact)

    monkeypatch.setattr(AdapterTrainee, "examine", examine)
    result = run("lora", spec, examples, tmp_path / "run", seeds=2, epochs=4)
    assert result.seeds[-1].kept == better
    assert result.folder == tmp_path / "run/adapter"
    config = json.loads((result.folder / "adapter_config.json").read_text())
    if better:
        assert config["r"] == 8
        assert result.note.endswith("; the mean of 2 seeds, an adapter of rank 8")
    else:
        (seed,) = (row.seed for row in result.seeds if row.kept)
        assert bytes_of(result.folder) == bytes_of(tmp_path / "run/seeds" / f"{seed}" / "adapter")
        assert result.note.endswith(f"; seed {seed}, the best of 2 seeds")
    assert result.steps == len(result.curve)


def mean_of(method: str, spec: Spec, examples: list[Example], folder: Path, **options: Any) -> Trainee:
    """The mean of two seeds, written where the result lies whether or not it is the best."""
    held: list[Trainee] = []

    def words(*given: Any) -> str:
        held.append(given[-1])
        return ""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seeds, "_words", words)
        patch.setattr(seeds, "_is_better", lambda mean, others: True)
        run(method, spec, examples, folder, seeds=2, **options)
    return held[0]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"alpha": 7.0},
        {"targets": ("q_proj", "up_proj")},
    ],
)
def test_the_mean_of_adapters_is_the_mean_of_their_updates(
    options: dict[str, Any], spec: Spec, examples: list[Example], tmp_path: Path
) -> None:
    mean_of("lora", spec, examples, tmp_path / "run", **options)
    singles = [peft_folder.read(tmp_path / "run/seeds" / seed / "adapter", spec).factors for seed in ("5", "6")]
    given = peft_folder.read(tmp_path / "run/adapter", spec).factors
    assert given.keys() == singles[0].keys()
    for role, factors in given.items():
        wanted = (singles[0][role].update() + singles[1][role].update()) / 2
        assert np.abs(wanted).max() > 1e-3
        np.testing.assert_allclose(factors.update(), wanted, atol=1e-6 * np.abs(wanted).max(), rtol=1e-5)
        assert len(factors.a) == 2 * len(singles[0][role].a)
    # Merging and exporting take it as they take any other.
    merged = merge.merge(spec, tmp_path / "run/adapter")
    assert merged.parameters == spec.parameters
    adapter_gguf.write(tmp_path / "run/adapter", spec, tmp_path / "adapter.gguf")


@pytest.mark.parametrize("method", ["full", "prefix"])
def test_the_mean_of_others_is_that_of_their_tensors(
    method: str, spec: Spec, examples: list[Example], tmp_path: Path
) -> None:
    mean = mean_of(method, spec, examples, tmp_path / "run")
    folder = methods.by_name(method).folder
    one, two = (mean.stored(tmp_path / "run/seeds" / seed / folder) for seed in ("5", "6"))
    written = mean.stored(tmp_path / "run" / folder)
    assert written.keys() == one.keys() == two.keys() == mean.network.parameters().keys()
    assert any(not torch.equal(one[name], two[name]) for name in one)
    for name, value in written.items():
        torch.testing.assert_close(value, (one[name] + two[name]) / 2, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("method", methods.names())
def test_every_method_has_seeds_and_a_mean(
    method: str, spec: Spec, examples: list[Example], tmp_path: Path
) -> None:
    whole = run(method, spec, examples, tmp_path / "whole", seeds=2, epochs=1, prefix_length=2)
    assert [row.seed for row in whole.seeds] == [5, 6, None]
    assert whole.seeds[0].curve != whole.seeds[1].curve
    assert (whole.folder / "adapter_config.json").exists() or method in ("full", "prefix")
    assert whole.folder == tmp_path / "whole" / methods.by_name(method).folder


def test_each_sees_other_examples_that_were_made(spec: Spec, examples: list[Example], tmp_path: Path) -> None:
    made = [[Example(f"{n} {example.input}", example.output) for example in examples] for n in range(4)]

    def seen(offset: int) -> set[int]:
        options = replace(OPTIONS, epochs=2, offset=offset)
        job = Job(spec, examples, examples[:6], options, tmp_path, encode, variants=made)
        trainee = methods.by_name("lora").trainee(job)
        prompts = {one.prompt for lesson in trainee.lessons for one in lesson}
        tokenize = job.tokenization()
        return {n for n, rows in enumerate(made) if prompts >= {one.prompt for one in tokenize(rows)}}

    assert (seen(0), seen(1), seen(2)) == ({0, 1}, {2, 3}, {0, 1})


def test_what_has_ended_is_not_run_again(spec: Spec, examples: list[Example], tmp_path: Path) -> None:
    whole = run("lora", spec, examples, tmp_path / "whole", seeds=3)
    count = 0

    def kill(event: Any) -> None:
        nonlocal count
        count += isinstance(event, Step)
        if count == whole.steps + 5:
            raise Killed

    with pytest.raises(Killed):
        run("lora", spec, examples, tmp_path / "run", kill, seeds=3, renew=2)
    seen: list[Any] = []
    resumed = run("lora", spec, examples, tmp_path / "run", seen.append, seeds=3, renew=2)
    started = [(event.seed, event.step) for event in seen if isinstance(event, Started)]
    assert started == [(6, 4), (7, 0)]
    assert resumed.seeds == whole.seeds
    assert bytes_of(resumed.folder) == bytes_of(whole.folder)
    # More seeds: only these are run. Other options: all are.
    seen.clear()
    more = run("lora", spec, examples, tmp_path / "run", seen.append, seeds=4, renew=2)
    assert [event.seed for event in seen if isinstance(event, Started)] == [8]
    told = [event for event in seen if isinstance(event, Seeded)]
    assert told[:-1] == [replace(row, kept=False) for row in more.seeds]
    assert told[-1:] == [row for row in more.seeds if row.kept]
    seen.clear()
    run("lora", spec, examples, tmp_path / "run", seen.append, seeds=2, renew=2, alpha=8.0)
    assert [event.seed for event in seen if isinstance(event, Started)] == [5, 6]


def test_a_kill_before_a_result_is_written_down_loses_no_training(
    spec: Spec, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run("lora", spec, examples, tmp_path / "whole", seeds=2, renew=2)
    assert not list(tmp_path.rglob(checkpoint.NAME))

    def kill(folder: Path) -> str:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(finished, "_left", kill)
        run("lora", spec, examples, tmp_path / "run", seeds=2, renew=2)
    seen: list[Any] = []
    again = run("lora", spec, examples, tmp_path / "run", seen.append, seeds=2, renew=2)
    started = [(event.seed, event.step) for event in seen if isinstance(event, Started)]
    assert started == [(5, (whole.steps - 1) // 2 * 2), (6, 0)]
    assert (again.seeds, bytes_of(again.folder)) == (whole.seeds, bytes_of(whole.folder))
    assert not list(tmp_path.rglob(checkpoint.NAME))
    # Killed between the record and the end of the checkpoint, which is then of no use.
    (tmp_path / "run/seeds/5" / checkpoint.NAME).touch()
    run("lora", spec, examples, tmp_path / "run", seeds=2, renew=2)
    one = run("lora", spec, examples, tmp_path / "one", renew=2)  # no record is written of it
    assert one.steps == whole.steps and not list(tmp_path.rglob(checkpoint.NAME))


def test_what_another_method_left_is_not_taken_for_ones_own(
    spec: Spec, examples: list[Example], tmp_path: Path
) -> None:
    run("orpo", spec, examples, tmp_path / "run", seeds=2, epochs=1)
    seen: list[Any] = []
    run("dpo", spec, examples, tmp_path / "run", seen.append, seeds=2, epochs=1)
    assert [event.seed for event in seen if isinstance(event, Started)] == [5, 6]


def test_a_result_that_is_about_to_be_replaced_is_forgotten(
    spec: Spec, examples: list[Example], tmp_path: Path
) -> None:
    """Else the first recipe, taken up again, would find the second one's adapter under its own name."""
    first = run("lora", spec, examples, tmp_path / "run", seeds=2)
    held = bytes_of(tmp_path / "run/seeds/5/adapter")
    count = 0

    def kill(event: Any) -> None:
        nonlocal count
        count += isinstance(event, Step)
        if count == first.steps:
            raise Killed

    with pytest.raises(Killed):
        run("lora", spec, examples, tmp_path / "run", kill, seeds=2, alpha=8.0)
    again = run("lora", spec, examples, tmp_path / "run", seeds=2)
    assert bytes_of(tmp_path / "run/seeds/5/adapter") == held
    assert again.seeds == first.seeds


@pytest.mark.parametrize("damage", ["{", "[]", '{"digest": ""}'])
def test_a_result_that_cant_be_read_is_made_again(
    damage: str, spec: Spec, examples: list[Example], tmp_path: Path
) -> None:
    first = run("lora", spec, examples, tmp_path / "run", seeds=2, epochs=1)
    (tmp_path / "run/seeds/5" / seeds.RESULT).write_text(damage)
    assert run("lora", spec, examples, tmp_path / "run", seeds=2, epochs=1).seeds == first.seeds


@pytest.mark.slow
def test_the_rate_is_searched_once(
    spec: Spec, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINSMITH_CACHE", str(tmp_path / "cache"))
    options = {"learning_rate": None, "search": 0.9, "epochs": 8, "batch_tokens": 20, "alpha": 8.0}
    result = run("lora", spec, examples, tmp_path / "run", seeds=2, **options)
    assert result.trials
    assert [row.seed for row in result.seeds] == [5, 6, None]
    assert result.learning_rate == result.trials[-1].learning_rate
    assert len(list((tmp_path / "cache" / rates.FOLDER).iterdir())) == 1
    # A run of one seed has nothing to search again.
    one = run("lora", spec, examples, tmp_path / "one", **options)
    assert one.trials == result.trials
    assert one.curve == result.seeds[0].curve
