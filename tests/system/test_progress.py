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
