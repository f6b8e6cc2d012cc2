"""The examples with pictures: what is tested on is never learned from, and a seed gives the same bytes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_small import EXAMPLES, load, rows

from tinsmith.constraint import makers
from tinsmith.data.shapes import open_examples
from tinsmith.pipeline import recipes
from tinsmith.prepare.allowed import Checker, bytes_model

pytest.importorskip("sklearn")


def test_no_digit_of_the_test_set_is_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = load(EXAMPLES / "digits" / "sample.py")
    sheets = sample.sheets()
    assert len(sheets) == 14 and sum(map(len, sheets)) == 1797
    assert all([said for said, _ in sheet[4:9]] == [4, 5, 6, 7, 8] for sheet in sheets if len(sheet) > 128)
    used = {
        split: {id(digit) for sheet in sheets[first:last] for digit in sheet}
        for split, (first, last) in sample.SHEETS.items()
    }
    assert not (used["train"] | used["validation"]) & used["test"] and not used["train"] & used["validation"]
    monkeypatch.setattr(sample, "sheets", lambda: [sheet[:12] for sheet in sheets])
    monkeypatch.setattr(sample, "TEST_STRINGS", 10)
    for folder in ("a", "b"):
        assert sample.main(["--out", str(tmp_path / folder), "--strings", "20"]) == 0
    made = {one.name: one.read_bytes() for one in (tmp_path / "a").rglob("*.*") if one.is_file()}
    assert made == {one.name: one.read_bytes() for one in (tmp_path / "b").rglob("*.*") if one.is_file()}
    test = list(open_examples(tmp_path / "a" / "test.jsonl"))
    assert {len(one.output) for one in test if one.part == "single"} == {1}
    assert {len(one.output) for one in test if one.part == "five"} == {5}
    assert test[0].images[0].size() == (sample.WIDTH, sample.TALL)
    learned = {one.images[0].digest for one in open_examples(tmp_path / "a" / "train.jsonl")}
    assert not learned & {one.images[0].digest for one in test}


def test_receipts_say_what_their_texts_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = load(EXAMPLES / "receipts" / "sample.py")
    if not any(Path("/usr/share/fonts").rglob("DejaVuSans.ttf")):
        pytest.skip("fonts-dejavu-core is not installed")
    extract = sample.texts()
    counts = {"train": 6, "validation": 3, "test": 6}
    monkeypatch.setattr(extract, "SPLITS", counts)
    monkeypatch.setattr(sample, "texts", lambda: extract)
    for folder in ("a", "b"):
        assert sample.main(["--out", str(tmp_path / folder)]) == 0
    checker = Checker(bytes_model(), makers.schema(extract.SCHEMA).data)
    for split, count in counts.items():
        found = list(open_examples(tmp_path / "a" / f"{split}.jsonl"))
        assert len(found) == count
        for one in found:
            assert checker.departure(one.output) is None
            levels = one.images[0].pixels().convert("L").getextrema()
            assert levels[0] < 110 and levels[1] > 150  # ink on paper
    for one in (tmp_path / "a" / "pictures").iterdir():
        assert one.read_bytes() == (tmp_path / "b" / "pictures" / one.name).read_bytes()
    (first, *_) = rows(tmp_path / "a" / "test.jsonl")
    assert first["part"] == json.loads(first["output"])["kind"] and "input" not in first
    assert sample.wrapped("a " * 40).count("\n") == 1


@pytest.mark.parametrize("name", ["digits", "receipts"])
def test_the_recipe_loads(name: str) -> None:
    loaded = recipes.load(EXAMPLES / name / "recipe.toml")
    assert loaded.name == name and loaded.train.seeds == 1
