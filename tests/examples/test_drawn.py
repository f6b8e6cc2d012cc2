"""The examples with pictures: what is tested on is never learned from, and a seed gives the same bytes."""

from __future__ import annotations

import json
import os
import random
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.examples.test_small import EXAMPLES, load, rows
from tinsmith.constraint import makers
from tinsmith.data.shapes import open_examples
from tinsmith.evaluate.answers import Answer, AnswerFile
from tinsmith.pipeline import recipe
from tinsmith.prepare.allowed import Checker, bytes_model

pytest.importorskip("sklearn")
PARTS = ("train", None), ("validation", None), ("test", "known"), ("test", "new")


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


def test_scenes_are_as_their_schema_has_them_and_new_places_are_new(tmp_path: Path) -> None:
    sample = load(EXAMPLES / "flood" / "sample.py")
    rows_of = sample.rows
    found = list(rows_of(60, random.Random(1)))
    places = {part: {id(here) for split, one, here in found if (split, one) == part} for part in PARTS}
    new = places["test", "new"]
    assert len(new) == 40 and not new & (places["train", None] | places["validation", None])
    assert places["test", "known"] <= places["train", None]
    few = [row for part in PARTS for row in [one for one in found if one[:2] == part][:6]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample, "rows", lambda scenes, rng: iter(few))
        for folder in ("a", "b"):
            sample.write(tmp_path / folder, 1, 60)
    made = {one.name: one.read_bytes() for one in (tmp_path / "a").rglob("*.*") if one.is_file()}
    assert len(made) == 4 * 6 + 4
    assert made == {one.name: one.read_bytes() for one in (tmp_path / "b").rglob("*.*") if one.is_file()}
    checker = Checker(bytes_model(), makers.schema(sample.SCHEMA).data)
    examples = [one for split in ("train", "test") for one in open_examples(tmp_path / "a" / f"{split}.jsonl")]
    assert all(checker.departure(one.output) is None for one in examples)
    assert {one.images[0].size() for one in examples} == {sample.SIZE}


def test_water_is_over_the_whole_road_or_leaves_a_way() -> None:
    sample = load(EXAMPLES / "flood" / "sample.py")
    rng = random.Random(1)
    z, x = np.mgrid[0.5:60:0.5, -8:8:0.25].astype(np.float32)
    for number in range(40):
        here = sample.place(rng)
        wave = np.random.default_rng(number).standard_normal(x.shape) * 0.3
        for road in set(sample.ROADS):
            lies = sample.water(here, road, x, z, rng, wave)[:, np.abs(x[0]) < here.half]
            across = lies.mean(1).max()
            assert across > 0.95 if road == "flooded" else across < 1, road
            assert road in ("flooded", "puddles") or not lies.any()


def test_cars_are_in_the_picture_and_not_in_each_other() -> None:
    sample = load(EXAMPLES / "flood" / "sample.py")
    rng = random.Random(2)
    for count in (0, 1, 2, 3) * 10:
        here = sample.place(rng)
        cars = sample.traffic(here, count, rng)
        assert len(cars) <= count
        for car in cars:
            across, down = here.seen(car.x, car.z)
            assert 0 < across < sample.WIDE and 0 < down < sample.TALL
            assert all(abs(car.z - other.z) > 3 or car.x * other.x < 0 for other in cars if other is not car)


def test_fields_of_scenes_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sample, measure = (load(EXAMPLES / "flood" / f"{name}.py") for name in ("sample", "measure"))
    rng = random.Random(3)
    few = [(split, part, sample.place(rng)) for split, part in PARTS for _ in range(24)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample, "rows", lambda scenes, rng: iter(few))
        sample.write(tmp_path / "data", 1, 24)
    wanted = [json.loads(row["output"]) for row in rows(tmp_path / "data" / "test.jsonl")]
    answers = [
        json.dumps({**one, "cars": 9}) if number < 12 else json.dumps(one) for number, one in enumerate(wanted)
    ]
    (tmp_path / "eval").mkdir()
    file = AnswerFile(tmp_path / "eval" / "shipped.jsonl", "a job")
    for number, text in enumerate((*answers[:-1], "no object")):
        file.add(Answer(number, text, [], 0, 0.0, "stop"))
    file.close()
    assert measure.main(["--run", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["shipped"]["known"] == {"flooded": 1, "cars": 0.5, "light": 1, "all": 0.5}
    assert found["shipped"]["new"]["all"] == round(23 / 24, 4)
    assert found["pixels"]["known"]["light"] > 0.5


def test_strips_of_slips_are_read_by_rules_as_they_are_written(tmp_path: Path) -> None:
    sys.path.insert(0, str(EXAMPLES / "receipts"))
    sys.modules.pop("sample", None)  # another example's
    try:
        slips, measure = (load(EXAMPLES / "receipts" / f"{name}.py") for name in ("slips", "measure"))
    finally:
        sys.path.remove(str(EXAMPLES / "receipts"))
        sys.modules.pop("sample", None)
    if not any(Path("/usr/share/fonts").rglob("DejaVuSansMono.ttf")):
        pytest.skip("fonts-dejavu-core is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slips, "FONTS", ("DejaVuSansMono.ttf",))
        for folder in ("a", "b"):
            slips.write(tmp_path / folder, {"train": 20, "test": 20}, 1, Path("/usr/share/fonts"))
    for one in (tmp_path / "a" / "pictures").iterdir():
        assert one.read_bytes() == (tmp_path / "b" / "pictures" / one.name).read_bytes()
    learned, test = (list(open_examples(tmp_path / "a" / f"{split}.jsonl")) for split in ("train", "test"))
    assert not {one.output[:21] for one in learned} & {one.output[:21] for one in test}
    checker = Checker(bytes_model(), makers.schema(slips.SCHEMA).data)
    assert all(checker.departure(one.output) is None for one in (*learned, *test))
    said = json.loads(test[0].output)
    day = date.fromisoformat(said["date"])
    for days in slips.DAYS:
        for sums in slips.SUMS:
            code = said["currency"]
            text = sums.format(sum=said["total"], code=code, sign=slips.SIGNS[code]) + "\n" + days.format(day)
            assert json.loads(measure.by_rules(text)) == said and max(map(len, text.split("\n"))) <= 12
    assert measure.by_rules("smudge") == "{}"
    found = measure.measured([one.output for one in test[:-1]] + ["{}"], test, slips.SCHEMA)
    assert found["whole"][0] == found["fields"][0] == 0.95 and found["whole"][1] < 0.95


def test_pictures_are_given_to_tesseract_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of its name that says each picture's size, and of the second nothing."""
    ocr = load(EXAMPLES / "receipts" / "ocr.py")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "tesseract"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nfrom PIL import Image\n"
        "pages = [Image.open(path).size for path in open(sys.argv[1]).read().split()]\n"
        "print('\\f'.join(f'{w}\\n\\n{h}\\n' if w > 100 else ' ' for w, h in pages), end='\\f')\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    (tmp_path / "data").mkdir()
    lines = []
    for number, size in enumerate(((40, 20), (10, 10))):
        Image.new("L", size).save(tmp_path / "data" / f"{number}.png")
        lines.append(json.dumps({"image": f"{number}.png", "output": "{}"}))
    (tmp_path / "data" / "test.jsonl").write_text("\n".join(lines))
    assert ocr.main(["--data", str(tmp_path / "data"), "--out", str(tmp_path / "read")]) == 0
    read = rows(tmp_path / "read" / "test.jsonl")
    assert read == [{"input": "160\n100", "output": "{}"}, {"input": "?", "output": "{}"}]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("digits/recipe.toml", "digits"),
        ("flood/recipe.toml", "flood"),
        ("receipts/ocr.toml", "ocr"),
        ("receipts/recipe.toml", "receipts"),
        ("receipts/small.toml", "slips"),
    ],
)
def test_the_recipe_loads(path: str, name: str) -> None:
    loaded = recipe.load(EXAMPLES / path)
    assert loaded.name == name and loaded.train.seeds == 1
