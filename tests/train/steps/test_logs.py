"""Curves in files: CSV and TensorBoard's events, whole and after a kill."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.train.tiny_training import train
from tinsmith.data.readers import Example
from tinsmith.errors import InputError, UnsupportedError
from tinsmith.spec import Spec
from tinsmith.train.events import Point, Started, Step, Validated
from tinsmith.train.options import TrainOptions
from tinsmith.train.steps import logs

OPTIONS = TrainOptions(
    epochs=2, rank=4, learning_rate=1e-2, batch_tokens=60, qat=None, renew=2, threads=1, average=0.5
)


class Killed(BaseException):
    pass


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / logs.CSV).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def run(spec: Spec, examples: list[Example], folder: Path, kill_at: int = 0) -> Any:
    with logs.opened("csv", folder / "logs") as write:

        def note(event: Any) -> None:
            write(event)
            if isinstance(event, Step) and event.step == kill_at:
                raise Killed

        return train("lora", spec, examples, examples[:6], OPTIONS, folder, note)


def test_every_step_and_validation_is_a_row(spec: Spec, examples: list[Example], tmp_path: Path) -> None:
    result = run(spec, examples, tmp_path)
    written = rows(tmp_path / "logs")
    steps = [row for row in written if row["loss"]]
    assert [Point(int(row["step"]), float(row["loss"])) for row in steps] == result.curve
    assert all(int(row["memory"]) > 10**7 and float(row["learning_rate"]) > 0 for row in steps)
    validations = [row for row in written if row["validation_loss"]]
    assert [
        (int(row["epoch"]), float(row["validation_loss"]), float(row["validation_exact"]), row["averaged"])
        for row in validations
    ] == [(row.epoch, row.loss, row.exact, str(int(row.averaged))) for row in result.validations]


def test_a_resumed_run_goes_on_with_its_log(spec: Spec, examples: list[Example], tmp_path: Path) -> None:
    whole = run(spec, examples, tmp_path / "whole")
    with pytest.raises(Killed):
        run(spec, examples, tmp_path / "killed", kill_at=5)
    path = tmp_path / "killed" / "logs" / logs.CSV
    path.write_text(path.read_text() + "6,1,0.")  # cut off as it was written
    run(spec, examples, tmp_path / "killed")
    steps = [row for row in rows(tmp_path / "killed" / "logs") if row["loss"]]
    assert [Point(int(row["step"]), float(row["loss"])) for row in steps] == whole.curve


def test_a_log_is_continued(tmp_path: Path) -> None:
    lines = (
        ",".join(logs.COLUMNS),
        ",".join({"step": "1", "loss": "0.5"}.get(name, "") for name in logs.COLUMNS),
    )
    (tmp_path / logs.CSV).write_text("\n".join([*lines, ""]))
    with logs.opened("csv", tmp_path) as write:
        write(Started(1, 2, 1e-3, ""))
        write(Validated(1, 2, 0.3, 0.85, True, text_loss=1.5))
    first, second = rows(tmp_path)
    assert (first["loss"], first["text_loss"], second["text_loss"]) == ("0.5", "", "1.5")


def test_each_of_several_seeds_has_a_log_of_its_own(
    spec: Spec, examples: list[Example], tmp_path: Path
) -> None:
    with logs.opened("csv", tmp_path / "logs") as write:
        result = train("lora", spec, examples, examples[:6], replace(OPTIONS, seeds=2), tmp_path, write)
    for row in result.seeds[:2]:
        written = [one for one in rows(tmp_path / "logs" / f"{row.seed}") if one["loss"]]
        assert [Point(int(one["step"]), float(one["loss"])) for one in written] == row.curve


def test_another_file_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / logs.CSV).write_text("my,own\n1,2\n")
    with (
        pytest.raises(InputError, match=r"train.csv: not a training log; move it"),
        logs.opened("csv", tmp_path) as write,
    ):
        write(Started(0, 2, 1e-3, "note"))
    assert (tmp_path / logs.CSV).read_text() == "my,own\n1,2\n"


def test_an_unknown_kind() -> None:
    with pytest.raises(UnsupportedError, match=r"--log wandb: .* there are csv, tensorboard"):
        logs.check("wandb")


def accumulated(folder: Path) -> Any:
    """What TensorBoard shows."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reader = EventAccumulator(str(folder))
    reader.Reload()
    return reader


def test_tensorboard_reads_what_is_written(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    step = Step(1, 2, 1, 0.5, 1e-3, 100.0, 10**6)
    with logs.opened("tensorboard", tmp_path) as write:
        write(Started(0, 2, 1e-3, "note"))
        write(step)
        write(replace(step, step=2, loss=0.25))
        write(Validated(1, 2, 0.4, 0.75, True))
        write(Validated(1, 2, 0.3, 0.85, True, averaged=True))
    with logs.opened("tensorboard", tmp_path) as write:  # resumed after step 1
        write(Started(1, 2, 1e-3, "note"))
        write(replace(step, step=2, loss=0.125))
    reader = accumulated(tmp_path)
    assert [(row.step, row.value) for row in reader.Scalars("loss")] == [(1, 0.5), (2, 0.125)]
    assert {"validation_loss_averaged", "memory", "learning_rate"} <= set(reader.Tags()["scalars"])


def test_tensorboard_forgets_what_ended_before_a_checkpoint(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    step = Step(1, 3, 1, 0.5, 1e-3, 100.0)
    for count, loss in ((3, 0.5), (2, 0.25)):
        with logs.opened("tensorboard", tmp_path) as write:
            write(Started(0, 3, 1e-3, "note"))
            for number in range(1, count + 1):
                write(replace(step, step=number, loss=loss))
    assert [(row.step, row.value) for row in accumulated(tmp_path).Scalars("loss")] == [(1, 0.25), (2, 0.25)]
