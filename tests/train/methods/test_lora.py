from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.train.tiny_training import encode, make_spec, train
from tinsmith.data.images import ImageSource
from tinsmith.data.readers import Example
from tinsmith.errors import DataError, InputError
from tinsmith.spec import Spec
from tinsmith.train import methods
from tinsmith.train.events import Started, Step, TrainResult, Validated
from tinsmith.train.job import Job
from tinsmith.train.options import TrainOptions
from tinsmith.train.quantized import qat_adapter
from tinsmith.train.rules import SHORT_RUN, default_learning_rate
from tinsmith.train.steps import checkpoint
from tinsmith.train.steps.loop import Loop
from tinsmith.train.steps.trainee import PRODUCTS, Trainee

OPTIONS = TrainOptions(epochs=4, rank=8, learning_rate=2e-2, batch_tokens=120, renew=2, threads=1)


class Killed(BaseException):
    pass


def weights(folder: Path) -> bytes:
    return (folder / "adapter" / "adapter_model.safetensors").read_bytes()


def test_learns_and_tells(spec: Spec, examples: list[Example], tmp_path: Path) -> None:
    seen: list[Any] = []
    result = train("lora", spec, examples, examples[:6], OPTIONS, tmp_path, seen.append)
    first, last = result.curve[0].loss, result.curve[-1].loss
    assert last < 0.6 * first
    assert isinstance(seen[0], Started)
    steps = [event for event in seen if isinstance(event, Step)]
    assert [event.step for event in steps] == list(range(1, result.steps + 1))
    assert steps[-1].steps == result.steps
    assert result.validations == [event for event in seen if isinstance(event, Validated)]
    assert [validated.epoch for validated in result.validations] == [1, 2, 3, 4]
    config = json.loads((result.folder / "adapter_config.json").read_text())
    assert (config["peft_type"], config["r"], config["lora_alpha"]) == ("LORA", 8, 32.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter"]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits on a file's size")
@pytest.mark.parametrize("room", [4096, 16384])  # bytes a file may have: the model card fails, or the tensors
def test_a_full_disk_while_the_adapter_is_saved(
    spec: Spec, examples: list[Example], tmp_path: Path, room: int
) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill_disk(event: object) -> None:
        if isinstance(event, Step):  # the checkpoint of step 0 is written
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))

    options = replace(OPTIONS, epochs=1, renew=1000)
    try:
        with pytest.raises(InputError, match=r"adapter: cannot write: .*free some space"):
            train("lora", spec, examples, examples[:6], options, tmp_path, fill_disk)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sorted(path.name for path in tmp_path.iterdir()) == [checkpoint.NAME, PRODUCTS]


@pytest.mark.parametrize(("stop", "renew", "average"), [(2, 2, 0.0), (3, 3, 0.3), (6, 1, 1.0)])
def test_a_killed_run_ends_with_the_same_bits(
    spec: Spec, examples: list[Example], tmp_path: Path, stop: int, renew: int, average: float
) -> None:
    options = replace(OPTIONS, renew=renew, average=average)
    whole = train("lora", spec, examples, examples[:6], options, tmp_path / "whole")

    def kill(event: Any) -> None:
        if isinstance(event, Step) and event.step == stop + 1:
            raise Killed

    with pytest.raises(Killed):
        train("lora", spec, examples, examples[:6], options, tmp_path / "killed", kill)
    seen: list[Any] = []
    resumed = train("lora", spec, examples, examples[:6], options, tmp_path / "killed", seen.append)
    assert seen[0].step == stop
    assert f"resumed at step {stop} of" in seen[0].note
    assert resumed.curve == whole.curve
    assert resumed.validations == whole.validations
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")


@pytest.mark.parametrize(("method", "seed"), [("lora", 1), ("full", 0), ("prefix", 0)])
def test_a_checkpoint_of_another_run_is_not_taken_up(
    method: str, seed: int, spec: Spec, examples: list[Example], tmp_path: Path
) -> None:
    def kill(event: Any) -> None:
        if isinstance(event, Step) and event.step == 3:
            raise Killed

    with pytest.raises(Killed):
        train("lora", spec, examples, examples[:6], OPTIONS, tmp_path, kill)
    seen: list[Any] = []
    other = replace(OPTIONS, seed=seed)
    result = train(method, spec, examples, examples[:6], other, tmp_path, seen.append)
    assert seen[0].step == 0
    told = "; started over: recipe or data changed since the checkpoint at step 2"
    assert seen[0].note == result.note + told


def test_half_a_checkpoint_is_no_checkpoint(tmp_path: Path) -> None:
    import torch

    path = tmp_path / checkpoint.NAME
    checkpoint.save(path, {"x": torch.arange(1000.0)}, {"step": 7})
    loaded = checkpoint.load(path)
    assert loaded is not None
    assert loaded[1] == {"step": 7}
    whole = path.read_bytes()
    for size in (0, 7, 100, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert checkpoint.load(path) is None
    # A kill in the middle of a write leaves a temporary file, which nothing reads.
    path.unlink()
    (tmp_path / f".{checkpoint.NAME}.0123.tmp").write_bytes(whole[:100])
    assert checkpoint.load(path) is None


def test_a_kill_while_writing_keeps_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    import torch

    path = tmp_path / checkpoint.NAME
    checkpoint.save(path, {"x": torch.zeros(3)}, {"step": 1})

    def die(descriptor: int) -> None:
        raise Killed

    monkeypatch.setattr(os, "fsync", die)
    with pytest.raises(Killed):
        checkpoint.save(path, {"x": torch.ones(3)}, {"step": 2})
    loaded = checkpoint.load(path)
    assert loaded is not None
    assert loaded[1] == {"step": 1}


def test_the_best_epoch_is_kept(
    spec: Spec, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = iter([0.5, 0.9, 0.8, 0.7])
    kept: list[bytes] = []
    monkeypatch.setattr(Trainee, "validate", lambda trainee: (1.0, next(shares)))

    def note(event: Any) -> None:
        if isinstance(event, Validated):
            kept.append(weights(tmp_path))

    options = replace(OPTIONS, epochs=4)
    result = train("lora", spec, examples, examples[:6], options, tmp_path, note)
    assert [validated.best for validated in result.validations] == [True, True, False, False]
    assert kept[0] != kept[1]
    assert kept[1:] == [weights(tmp_path)] * 3


def test_a_later_epoch_of_lower_loss_is_kept_where_its_fewer_answers_may_be_chance(
    spec: Spec, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of six answers, of which 0.9 were exact, a standard error is 0.12."""
    values = [(1.0, 0.9), (1.1, 0.85), (0.9, 0.8), (0.8, 0.75), (0.95, 0.9), (1.2, 0.95), (1.1, 0.93)]
    told = iter(values)
    monkeypatch.setattr(Trainee, "validate", lambda trainee: next(told))
    result = train("lora", spec, examples, examples[:6], replace(OPTIONS, epochs=len(values)), tmp_path)
    assert [row.best for row in result.validations] == [True, False, True, False, False, True, True]
    assert result.worth == (0.93, -1.1)  # of what is kept, and not of the most exact epoch


def test_the_mean_of_the_weights_is_validated_beside_them_and_kept_where_it_is_better(
    spec: Spec, examples: list[Example], tmp_path: Path
) -> None:
    options = replace(OPTIONS, average=0.5)
    result = train("lora", spec, examples, examples[:6], options, tmp_path / "both")
    pairs = [(row.epoch, row.averaged) for row in result.validations]
    assert pairs == [(epoch, averaged) for epoch in (1, 2, 3, 4) for averaged in (False, True)]
    plain = train("lora", spec, examples, examples[:6], replace(options, average=0.0), tmp_path / "plain")
    assert [row.loss for row in plain.validations] == [row.loss for row in result.validations[::2]]
    assert plain.curve == result.curve


def test_the_mean_is_of_the_later_steps_by_value(
    spec: Spec, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the first steps it is the plain mean, then an exponential one over half of the run's steps; what is
    validated, and written where it is better, has these weights."""
    after: list[np.ndarray] = []
    seen: list[tuple[int, np.ndarray]] = []
    kept: list[np.ndarray] = []

    def first(loop: Loop) -> np.ndarray:
        parameter: Any = next(value for name, value in loop.parameters.items() if "lora_B" in name)
        return parameter.detach().numpy().astype(np.float64)

    def step(loop: Loop, batch: Any) -> float:
        loss = plain_step(loop, batch)
        after.append(first(loop).copy())
        return loss

    def compare(loop: Loop, *, averaged: bool) -> None:
        if averaged:
            seen.append((loop.progress.step, first(loop).copy()))
            monkeypatch.setattr(loop.trainee, "validate", lambda: (0.0, 1.0 + len(seen)))
            monkeypatch.setattr(loop.trainee, "keep", lambda: kept.append(first(loop).copy()))
        plain_compare(loop, averaged=averaged)

    plain_step, plain_compare = Loop._step, Loop._compare
    monkeypatch.setattr(Loop, "_step", step)
    monkeypatch.setattr(Loop, "_compare", compare)
    options = replace(OPTIONS, epochs=2, average=0.5, batch_tokens=60)
    result = train("lora", spec, examples, examples[:6], options, tmp_path)
    span, mean, means = 0.5 * result.steps, 0 * after[0], []
    for number, weights in enumerate(after, 1):
        mean = mean + (weights - mean) / min(number, span)
        means.append(mean)
    assert [number for number, _ in seen] == [result.steps // 2, result.steps]
    assert span < result.steps - 2
    for (number, found), written in zip(seen, kept, strict=True):
        np.testing.assert_allclose(found, means[number - 1], atol=1e-6)
        np.testing.assert_array_equal(written, found)


def test_made_rows_are_learned_from_in_turn(spec: Spec, examples: list[Example], tmp_path: Path) -> None:
    batches: list[int] = []
    variants = [examples[:1], examples[:2]]

    def note(event: Any) -> None:
        if isinstance(event, Step):
            batches.append(event.epoch)

    options = replace(OPTIONS, batch_tokens=1, epochs=3)
    train("lora", spec, examples, examples[:6], options, tmp_path, note, variants=variants)
    plain = len(examples)
    assert [batches.count(epoch) for epoch in (1, 2, 3)] == [plain + 1, plain + 2, plain + 1]


def test_what_was_read_gives_way_to_what_is_made_of_it(
    spec: Spec, examples: list[Example], tmp_path: Path
) -> None:
    def variant(number: int) -> Example:
        return Example(f"{number} anew", "x", about={"from": number})

    off_topic = Example("hello", "x", about={"source": "off topic", "from": 3})
    variants = [[variant(1)], [variant(1), variant(2), variant(2), off_topic]]
    options = replace(OPTIONS, epochs=2, originals_once=True)
    job = Job(spec, examples, examples[:6], options, tmp_path, encode, variants=variants)
    first = TrainResult(1e-3, "", 1, 1, 1.0, folder=tmp_path)
    reading = replace(job, options=replace(options, originals_once=False))
    again = qat_adapter.job_of(reading, first, qat_adapter.Preparation("Q4_0"))
    found = {}
    for name, one in {"first": job, "further": replace(again, start=None), "all": reading}.items():
        tokenize, lessons = one.tokenization(), methods.by_name("lora").trainee(one).lessons
        told = {sequence: row.input for row, sequence in tokenize.learned(examples)}
        told |= {sequence: row.input for made in variants for row, sequence in tokenize.fitting(made)}
        found[name] = [[told[sequence] for sequence in lesson] for lesson in lessons]
    asked = [example.input for example in examples]
    assert found["first"] == [[*asked, "1 anew"], [*asked[2:], "1 anew", "2 anew", "2 anew", "hello"]]
    assert found["further"] == [[*asked[1:], "1 anew"]]
    assert found["all"][1] == [*asked, "1 anew", "2 anew", "2 anew", "hello"]
    trainee = methods.by_name("lora").trainee(job)
    [(row, sequence)] = job.tokenization().fitting(variants[0])
    assert trainee.replaced(job, [(row, sequence)])
    assert not trainee.replaced(job, [(replace(row, images=(ImageSource("a.png"),)), sequence)])


def test_a_run_that_diverges_ends_with_an_error(spec: Spec, examples: list[Example], tmp_path: Path) -> None:
    options = replace(OPTIONS, learning_rate=1e30, qat=None)
    with pytest.raises(InputError, match=r"diverged at step \d+ of \d+: the loss is nan; give .* below 1e\+30"):
        train("lora", spec, examples, examples[:6], options, tmp_path)


def test_refuses_empty_data(spec: Spec, examples: list[Example], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one training example"):
        train("lora", spec, [], examples, OPTIONS, tmp_path)
    with pytest.raises(InputError, match="at least one training example"):
        train("lora", spec, examples, [], OPTIONS, tmp_path)


def test_the_default_rate_is_used_and_noted(
    spec: Spec, examples: list[Example], tmp_path: Path, events: tuple[list[Any], Callable[[Any], None]]
) -> None:
    seen, note = events
    options = TrainOptions(epochs=1, rank=2, batch_tokens=10_000)
    result = train("lora", make_spec(), examples, examples[:2], options, tmp_path, note)
    assert result.learning_rate == seen[0].learning_rate
    assert result.note.startswith("learning rate 0.0067, chosen for")


def test_going_on_takes_no_more_in_a_short_run(spec: Spec, examples: list[Example], tmp_path: Path) -> None:
    options = TrainOptions(epochs=1, rank=2, batch_tokens=10_000, gentle=0.25)
    result = train("lora", spec, examples, examples[:2], options, tmp_path)
    whole, _ = default_learning_rate(spec.parameters, SHORT_RUN)
    assert result.steps < SHORT_RUN and result.learning_rate == pytest.approx(whole / 4, rel=0.05)


def test_what_no_session_of_the_base_holds_is_not_learned(examples: list[Example], tmp_path: Path) -> None:
    spec = make_spec(context=8)
    job = Job(spec, examples, examples[:2], replace(OPTIONS, max_length=64), tmp_path, encode)
    with pytest.raises(
        DataError, match=r"example 1 has \d+ tokens, more than the base's context = 8; shorten it$"
    ):
        methods.by_name("lora").trainee(job)
