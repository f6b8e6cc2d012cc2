from __future__ import annotations

import pytest

from tinsmith.system import progress


def test_plain_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    shown = progress.display()
    shown.line("train: …")
    with shown.bar("train", 3) as bar:
        for step in (1, 2, 3):
            bar.update(step, "loss 0.5")
    assert capsys.readouterr().err.splitlines() == ["train: …", "train: 3 of 3, loss 0.5"]


def test_the_time_left_does_not_count_work_of_an_earlier_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with progress.PlainDisplay().bar("eval", 100) as bar:
        bar.update(80)
        now = 60.0
        bar.update(90)
    assert capsys.readouterr().err == "eval: 90 of 100, 1 min 00 s left\n"


def test_the_time_left_is_of_what_began_last(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several runs with one bar."""
    times = iter([0.0, 1.0, 500.0, 501.0, 511.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(times))
    with progress.PlainDisplay().bar("train", 100) as bar:
        for done in (1, 100, 1, 11):
            bar.update(done)
    assert capsys.readouterr().err.splitlines()[-1] == "train: 11 of 100, 1 min 29 s left"


def test_the_time_left_counts_nothing_before_the_first_unit(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A base is loaded, and a reference computed, before the first step."""
    times = iter([0.0, 100.0, 400.0, 420.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(times))
    with progress.PlainDisplay().bar("train", 1) as bar:
        bar.update(1, "reference", 1)
        bar.update(1, "loss 1", 41)
        bar.update(11, "loss 1", 41)
    assert capsys.readouterr().err.splitlines()[-1] == "train: 11 of 41, loss 1, 1 min 00 s left"


def test_a_rich_bar_keeps_markup_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    shown = progress.RichDisplay()
    shown.line("[train] is a table")
    with shown.bar("[x]", 2) as bar:
        bar.update(1, "[y]", total=4)
    assert "[train] is a table" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "expected"), [(7.6, "8 s"), (185, "3 min 05 s"), (59.6, "1 min 00 s"), (7800, "2 h 10 min")]
)
def test_clock(seconds: float, expected: str) -> None:
    assert progress.clock(seconds) == expected
