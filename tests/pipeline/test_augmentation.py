"""Further examples in a run: where they lie, what is said of them, and when there are none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.models.tiny_models import tiny_spec
from tests.models.tiny_recipes import BASE
from tests.models.transformers_models import CHATML
from tinsmith import cli, models
from tinsmith.data import image_changes
from tinsmith.data.augment import origin
from tinsmith.data.readers import Example
from tinsmith.data.slots import words
from tinsmith.errors import DataError, InputError, RecipeError
from tinsmith.models import family
from tinsmith.pipeline import engine
from tinsmith.pipeline.prepared import AUGMENTED, Augmentation
from tinsmith.pipeline.recipe import load
from tinsmith.pipeline.run import Run
from tinsmith.pipeline.stages.data import augmentation
from tinsmith.pipeline.stages.train.options import options as train_options
from tinsmith.pipeline.stages.train.plan import without_first
from tinsmith.system.progress import display

RECIPE = f"""\
{BASE}[constraint]
tools = "tools.json"
[train]
epochs = 2
[build]
formats = ["Q8_0"]
context = 256
[eval]
baselines = ["nearest"]
max_tokens = 4
threads = 1
"""
ROOMS = ("kitchen", "attic", "cellar", "porch", "garden")
HELD = ("conservatory", "nursery")  # in the tools, and in no training example


def call(name: str, **arguments: Any) -> str:
    return json.dumps({"name": name, "arguments": arguments}, separators=(",", ":"))


def tool(name: str, **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    spec = replace(tiny_spec(family.by_name("llama")), chat_template=CHATML)
    models.save_gguf(spec, tmp_path / "base.gguf")
    rows = [
        {"input": f"heat the {room} to {n} degrees", "output": call("Heat", area=room, to=n)}
        for n in range(15, 25, 3)
        for room in ROOMS
    ]
    tests = [
        {"input": f"heat the {room} to 18 degrees", "output": call("Heat", area=room, to=18)} for room in HELD
    ]
    for name, some in (("train", rows), ("validation", [{**rows[0], "input": "it is cold"}]), ("test", tests)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    tools = [tool("Heat", area={"enum": [*ROOMS, *HELD]}, to={"type": "integer"}), tool("None")]
    (tmp_path / "tools.json").write_text(json.dumps(tools))
    return tmp_path


def recipe(folder: Path, data_lines: str = "", **changes: str) -> Path:
    text = RECIPE.replace("[data]\n", f"[data]\n{data_lines}\n")
    for old, new in changes.items():
        text = text.replace(old, new)
    (folder / "home.toml").write_text(text)
    return folder / "home.toml"


def made(folder: Path, data_lines: str = "", goal: str = "data") -> Run:
    return engine.make(load(recipe(folder, data_lines)), folder / "run", display(), goal)


def facts(run: Run) -> Augmentation | None:
    return run.done(engine.DATA).facts.augmentation


def test_a_run_has_a_file_of_them_and_gives_them_by_variant(folder: Path) -> None:
    run = made(folder)
    variants, lines = engine.prepared(run).augmented(), (folder / "run" / AUGMENTED).read_text().splitlines()
    found = facts(run)
    assert found and len(lines) == found.rows == sum(map(len, variants))
    assert len(variants) == found.variants == 2
    assert {row.about["variant"] for row in variants[1]} == {1}
    assert set(found.slots) == {"Heat.area", "Heat.to"}
    train = engine.prepared(run).examples("train")
    for row in variants[0]:
        was = json.loads(train[row.about["from"] - 1].output)["arguments"]
        for one in row.about["substituted"]:
            assert was[one["argument"].split(".")[1]] == one["was"]
    assert "augmented" in engine.prepared(run).model_data


@pytest.mark.parametrize(
    ("stated", "runs"),
    [("", 1), ("seeds = 1\n", 1), ("seeds = 2\n", 2), ("seeds = 3\n", 3), ('method = "full"\n', 1)],
)
def test_each_of_several_runs_has_others(folder: Path, stated: str, runs: int) -> None:
    loaded = load(recipe(folder, **{"epochs = 2\n": f"epochs = 2\n{stated}"}))
    assert augmentation.variants(loaded, [Example("a", "b")] * 1000) == 2 * runs
    assert [train_options(loaded, 1000, made=made).seeds for made in (True, False)] == [runs, runs]


def test_few_examples_are_read_more_often_and_many_less(folder: Path) -> None:
    loaded = load(recipe(folder, **{"epochs = 2\n": ""}))
    assert [loaded.passes(count, made=True) for count in (1, 100, 130, 200, 1000)] == [16, 16, 12, 8, 8]
    assert [loaded.passes(count, made=True) for count in (1500, 2000, 3000, 100_000)] == [12, 9, 6, 6]
    one = [Example("a", "b")]
    assert [augmentation.variants(loaded, one * count) for count in (100, 1000)] == [16, 8]


@pytest.mark.parametrize(
    ("epochs", "stated", "passes"), [("", "", 4), ("6", "", 3), ("1", "", 2), ("6", "epochs = 5\n", 5)]
)
def test_new_examples_are_read_half_as_often(folder: Path, epochs: str, stated: str, passes: int) -> None:
    path = recipe(folder, **{"epochs = 2\n": f"epochs = {epochs}\n" if epochs else ""})
    path.write_text(f'{path.read_text()}[update]\nadapter = "a"\ndata = "new.jsonl"\n{stated}')
    options = train_options(load(path), 1000, made=True, goes_on=True)
    assert (options.epochs, load(path).passes(1000, made=True)) == (passes, int(epochs or 8))


def test_it_can_be_switched_off_and_changed(folder: Path) -> None:
    run = made(folder)
    digest = engine.prepared(run).model_data["augmented"]
    run = made(folder, "augment = false")
    assert facts(run) is None
    assert engine.prepared(run).augmented() == []
    assert "augmented" not in engine.prepared(run).model_data
    text = recipe(folder).read_text().replace("epochs = 2", "epochs = 5")
    (folder / "home.toml").write_text(text)
    run = engine.make(load(folder / "home.toml"), folder / "run", display(), "data")
    assert len(engine.prepared(run).augmented()) == 5
    assert engine.prepared(run).model_data["augmented"] != digest
    run = made(folder)
    assert engine.prepared(run).model_data["augmented"] == digest


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ("augment = 1", "augment: got 1; allowed is true or false"),
        ('augment = false\naugment_exclude = "off.txt"', "augment_exclude: nothing is substituted here"),
        ('task = "classify"\naugment = true', "augment: is for the tasks call, extract; this one is classify"),
    ],
)
def test_what_a_recipe_cannot_say(folder: Path, lines: str, fault: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load(recipe(folder, lines))
    assert fault in str(caught.value)


def test_new_words_are_none_of_a_file_s(folder: Path) -> None:
    def new(run: Run) -> set[str]:
        data = engine.prepared(run)
        rows = [row for variant in data.augmented() for row in variant]
        known, met = (
            {word for row in part for word in words(row.input)} for part in (data.examples("train"), rows)
        )
        return {word for word in met - known if word.isalpha()}

    first = new(made(folder))
    assert first
    (folder / "out.txt").write_text("".join(f"{word.upper()}\n" for word in first))
    assert new(made(folder, 'augment_exclude = "out.txt"')).isdisjoint(first)
    (folder / "out.txt").write_text("another\n")
    assert new(made(folder, 'augment_exclude = "out.txt"')) == first


def test_faults_of_words_to_do_without(folder: Path) -> None:
    with pytest.raises(InputError, match=r"\[data\] augment_exclude: .*out.txt: no such file"):
        made(folder, 'augment_exclude = "out.txt"')
    (folder / "out.txt").write_text("\n")
    with pytest.raises(DataError, match=r"out.txt: holds no word; write one a line, or leave augment_exclude"):
        made(folder, 'augment_exclude = "out.txt"')


def test_what_goes_along_with_new_examples(folder: Path) -> None:
    run = made(folder)
    rows = engine.prepared(run).augmented()[0]
    kept = without_first(rows, 2)
    train = engine.prepared(run).examples("train")
    assert {row.input: train[2:][number - 1] for row in kept if (number := origin(row))} == {
        row.input: train[number - 1] for row in rows if (number := origin(row)) and number > 2
    }


def test_the_report_shows_some_beside_their_origin(folder: Path) -> None:
    assert cli.main(["make", str(recipe(folder)), "--out", str(folder / "run")]) == 0
    report = json.loads((folder / "run" / "report.json").read_text())["augmentation"]
    page = (folder / "run" / "report.html").read_text()
    assert "Augmented examples" in page
    lines = (folder / "train.jsonl").read_text().splitlines()
    assert report["examples"]
    for shown in report["examples"]:
        row = json.loads(lines[shown["line"] - 1])
        assert shown["from"] == {key: row[key] for key in ("input", "output")}
        assert shown["made"]["input"] in page.replace("&#34;", '"')


def test_images_are_changed_and_some_are_shown(folder: Path) -> None:
    (folder / "images").mkdir()
    for split, levels in (("train", range(40, 240, 20)), ("validation", (30,)), ("test", (25,))):
        lines = []
        for level in levels:
            image = Image.new("RGB", (24, 16), (level, level, level))
            image.paste((0, 0, 0), (3, 2, 9, 9))
            image.save(folder / "images" / f"{level}.png")
            heat = call("Heat", area="attic", to=level)
            lines.append(json.dumps({"image": f"images/{level}.png", "input": "attic", "output": heat}) + "\n")
        (folder / f"{split}.jsonl").write_text("".join(lines))
    run = made(folder)
    found, train = facts(run), engine.prepared(run).examples("train")
    assert found and found.rows == 2 * len(train) and not found.sources  # what a picture shows stays
    assert set(found.images) <= set(image_changes.KINDS) and sum(found.images.values()) >= found.rows
    for variant in engine.prepared(run).augmented():
        for row in variant:
            was = train[row.about["from"] - 1]
            assert (row.input, row.output) == (was.input, was.output)
            assert row.images[0].digest == was.images[0].digest
            assert [kind for kind, _ in row.images[0].change] and row.images[0].pixels().size == (24, 16)
    sheet = Image.open(run.folder / augmentation.SHEET)
    assert sheet.size == (8 + 168 * 3, 8 + 168 * len(train))  # each beside its two variants
    (folder / "images" / "40.png").write_bytes((folder / "images" / "60.png").read_bytes())
    assert engine.prepared(made(folder)).examples("train")[0].images[0].digest == train[1].images[0].digest
    run = made(folder, 'augment_images = ["blur"]')
    found = facts(run)
    assert found and found.images == {"blur": 2 * len(train)}
    assert facts(made(folder, "augment_images = []")) is None
