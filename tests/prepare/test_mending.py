"""The cleaned copy: good rows stay, faults are mended or dropped, all is listed, and the original stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.prepare.test_check import call, calls, look, tools
from tinsmith.errors import InputError
from tinsmith.pipeline import checking
from tinsmith.pipeline.recipe.tables import Constraint
from tinsmith.prepare import check
from tinsmith.prepare.check import mending


def read(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


GOOD = call("TurnOn", room="attic", thing="radio")
FAULTS: list[tuple[Any, Any]] = [
    # a faulty row, and what comes of it
    ('{"input": "on"', None),
    ({"input": "radio on in the attic", "output": "{"}, None),
    (
        {"input": "radio on up in the attic", "output": f"Sure! {GOOD}"},
        {"input": "radio on up in the attic", "output": GOOD},
    ),
    (
        {"input": "the attic gets its radio", "output": GOOD.replace("TurnOn", "TurnnOn")},
        {"input": "the attic gets its radio", "output": GOOD},
    ),
    (
        {"input": "attic with radio cafÃ©", "output": f"{GOOD}<|im_end|>"},
        {"input": "attic with radio café", "output": GOOD},
    ),
    (
        {"input": "attic radio for jo@mail.com", "output": call("TurnOn", thing="radio", room="attic")},
        {"input": "attic radio for person@example.com", "output": GOOD},
    ),
    (
        {"input": "switch on the lamp in the kitchen!", "output": call("TurnOn", room="kitchen", thing="lamp")},
        None,
    ),
]


def test_a_cleaned_copy(tmp_path: Path) -> None:
    rows = [*calls(), *(faulty for faulty, _ in FAULTS)]
    report = look(tmp_path, rows, table=tools(tmp_path))
    before = (tmp_path / "train.jsonl").read_bytes()
    made, changes = mending.write(report, tmp_path / "out" / "clean.jsonl")
    assert made == [tmp_path / "out" / "clean.jsonl", tmp_path / "out" / "clean.changes.jsonl"]
    assert (tmp_path / "train.jsonl").read_bytes() == before
    assert read(made[0]) == [*calls(), *(good for _, good in FAULTS if good)]
    listed = read(made[1])
    assert len(listed) == len(changes)
    lines = {int(one["where"].rpartition(":")[2]) for one in listed}
    assert lines == {161, 162, 163, 164, 165, 166, 167}
    dropped = {int(one["where"].rpartition(":")[2]) for one in listed if one["done"] == "dropped"}
    assert dropped == {161, 162, 167}
    # Nothing is left to mend, so that doing it again changes nothing.
    again = look(tmp_path, read(made[0]), table=tools(tmp_path))
    assert again.findings.keys() == {"unshown"}


def test_kinds_that_are_allowed_are_let_be(tmp_path: Path) -> None:
    row = {"input": "attic radio for jo@mail.com", "output": GOOD}
    report = look(tmp_path, [*calls(), row], table=tools(tmp_path))
    made, changes = mending.write(report, tmp_path / "clean.jsonl", ["personal"])
    assert changes == [] and read(made[0])[-1] == row


def test_faults_that_a_mending_makes_are_mended_too(tmp_path: Path) -> None:
    """A mistyped label hid a duplicate, and a contradiction that most rows decide."""
    rows: list[Any] = [
        {"input": f"text number {n} of many", "output": ("billing", "shipping")[n % 2]} for n in range(60)
    ]
    rows += [{"input": "this one", "output": "billing"}, {"input": "this one", "output": "biling"}]
    rows += [{"input": "that one", "output": one} for one in ("billing", "billing", "shiping")]
    made, changes = mending.write(look(tmp_path, rows), tmp_path / "clean.jsonl")
    assert [(int(one.where.rpartition(":")[2]), one.kind) for one in changes] == [
        (62, "label_typo"),
        (65, "label_typo"),
        (65, "contradiction"),
        (62, "duplicate"),
        (64, "duplicate"),
    ]
    assert read(made[0]) == [*rows[:61], rows[62]]


def test_the_original_is_never_written_over(tmp_path: Path) -> None:
    report = look(tmp_path, calls(), test=[{"input": "new", "output": GOOD}], table=tools(tmp_path))
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    for out in (tmp_path, tmp_path / "link", tmp_path / "x" / ".."):
        with pytest.raises(InputError, match=r"is an input, which --fix keeps"):
            mending.write(report, out)
    single = look(tmp_path, calls(), table=tools(tmp_path))
    with pytest.raises(InputError, match="is an input"):
        mending.write(single, tmp_path / "train.jsonl")
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "train.jsonl").write_text((tmp_path / "train.jsonl").read_text("utf-8"))
    files = [("train", tmp_path / "train.jsonl"), ("test", tmp_path / "x" / "train.jsonl")]
    same = check.run(checking.of_files(files, None, Constraint(), None, None, 512))
    with pytest.raises(InputError, match="two of the files have the same name"):
        mending.write(same, tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "link",
        "test.jsonl",
        "tools.json",
        "train.jsonl",
        "x",
    ]
    made, _ = mending.write(report, tmp_path / "clean")
    assert [path.name for path in made] == [
        "train.jsonl",
        "train.changes.jsonl",
        "test.jsonl",
        "test.changes.jsonl",
    ]
    assert isinstance(report, check.Report)
