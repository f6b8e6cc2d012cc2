"""New examples beside those that an adapter learned: where they and the old ones go, and what decides them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from tests.models.tiny_recipes import parity, write_home
from tinsmith import cli
from tinsmith.data.readers import Example
from tinsmith.errors import DataError
from tinsmith.pipeline import engine, recipe, update
from tinsmith.pipeline.prepared import Augmentation, Base, New, Prepared, split_name
from tinsmith.pipeline.run import Run
from tinsmith.pipeline.stages.data import joining
from tinsmith.pipeline.stages.train.digests import of_train
from tinsmith.pipeline.stages.train.options import options
from tinsmith.system import progress

RECIPE = """\
[base]
model = "base.gguf"
[data]
train = "all.jsonl"
task = "classify"
[train]
epochs = 1
qat = "none"
"""
UPDATE = '[update]\nadapter = "run/adapter"\ndata = "new.jsonl"\n'


def write(path: Path, rows: Sequence[tuple[str, str]], names: tuple[str, str] = ("input", "output")) -> None:
    path.write_text("".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows))


def numbers(first: int, end: int) -> list[tuple[str, str]]:
    return [(f"number {n} of {n * 7919 % 1000}", ("even", "odd")[n % 2]) for n in range(first, end)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With an adapter of a run that was given more examples after its first."""
    folder = tmp_path_factory.mktemp("new")
    write_home(folder, RECIPE, parity)
    (folder / "home.toml").write_text(RECIPE)
    for count in (20, 30, 45, 60):
        write(folder / "all.jsonl", numbers(0, count))
        engine.make(recipe.load(folder / "home.toml"), folder / "run", progress.PlainDisplay(), "data")
    assert cli.main(["make", "--until", "train", str(folder / "home.toml"), "--out", str(folder / "run")]) == 0
    write(folder / "new.jsonl", numbers(100, 120))
    return folder


def run_of(folder: Path, text: str, out: str) -> Run:
    (folder / "more.toml").write_text(text)
    return engine.make(recipe.load(folder / "more.toml"), folder / out, progress.PlainDisplay(), "data")


def inputs_of(run: Run, split: str) -> set[str]:
    return {example.input for example in engine.prepared(run).examples(split)}


def test_what_an_adapter_learned_is_not_what_it_is_tested_on(folder: Path) -> None:
    learned = {json.loads(line)["input"] for line in (folder / "run/data/train.jsonl").read_text().splitlines()}
    run = run_of(folder, RECIPE + UPDATE, "tested")
    assert not learned & inputs_of(run, "test")
    assert not learned & inputs_of(run, "validation")
    alone = run_of(folder, RECIPE, "alone")
    assert learned & (inputs_of(alone, "test") | inputs_of(alone, "validation"))


def test_splits_that_are_not_the_adapter_s_are_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_of(folder, RECIPE.replace("[train]", "near_duplicate = 0.9\n[train]") + UPDATE, "otherwise")
    assert "was divided by another split_shares or near_duplicate" in capsys.readouterr().err
    # A folder of before, which was divided anew, is mended.
    run = run_of(folder, RECIPE + UPDATE, "mended")
    wanted, path = inputs_of(run, "test"), folder / "mended" / "data" / "splits.json"
    table = json.loads(path.read_text())
    table["splits"] = dict(zip(table["splits"], reversed(table["splits"].values()), strict=True))
    path.write_text(json.dumps(table))
    record = json.loads((folder / "mended" / "run.json").read_text())
    (folder / "mended" / "run.json").write_text(json.dumps({**record, "stages": {}}))
    assert inputs_of(run_of(folder, RECIPE + UPDATE, "mended"), "test") == wanted
    # And another file of that name is none of ours.
    (folder / "data").mkdir()
    (folder / "data" / "splits.json").write_text("[]")
    copied = folder / "adapters" / "mine"
    copied.mkdir(parents=True)
    for one in (folder / "run" / "adapter").iterdir():
        (copied / one.name).write_bytes(one.read_bytes())
    run_of(folder, RECIPE + UPDATE.replace("run/adapter", "adapters/mine"), "copied")


def test_a_corrected_answer_is_learned_and_the_wrong_one_nowhere(folder: Path) -> None:
    learned = sorted(inputs_of(run_of(folder, RECIPE + UPDATE, "tested"), "train") - {"x"})[:2]
    validated = sorted(inputs_of(run_of(folder, RECIPE + UPDATE, "tested"), "validation"))
    old = next(text for text in validated if int(text.split()[1]) < 100)
    corrected = [learned[0], learned[1], old]
    write(folder / "fixed.jsonl", [*((text, "fixed") for text in corrected), *numbers(200, 210)])
    for seed in range(4):
        text = RECIPE.replace("[train]", f"[train]\nseed = {seed}")
        run = run_of(folder, text + UPDATE.replace("new.jsonl", "fixed.jsonl"), f"fixed-{seed}")
        found = {split: engine.prepared(run).examples(split) for split in ("train", "validation")}
        said = [(one.input, one.output) for rows in found.values() for one in rows if one.input in corrected]
        assert sorted(said) == sorted((text, "fixed") for text in corrected)
        assert {one.input for one in found["train"]} >= set(corrected)


def test_where_all_are_corrections_some_are_held_out(folder: Path) -> None:
    loaded = recipe.load(folder / "home.toml", update={"adapter": "run/adapter", "data": "new.jsonl"})
    old = {"train": [Example(f"{n}", "a") for n in range(30)], "validation": [], "test": []}
    splits, new = joining.joined(loaded, old, {"data": [Example(f"{n}", "b") for n in range(20)]})
    old["validation"] = [Example("40", "a")]
    with pytest.raises(DataError, match="every input of the old validation examples; none is left"):
        joining.joined(loaded, old, {"data": [*old["train"][:5]], "validation": [Example("40", "b")]})
    assert (new.train, new.validation, new.replaced) == (18, 2, 20)
    assert {one.output for one in splits["validation"]} == {"b"}


def test_a_folder_and_what_a_device_was_not_sure_of_are_new_examples(folder: Path) -> None:
    named = RECIPE.replace('task = "classify"', 'task = "classify"\ninput = "question"\noutput = "label"')
    write(folder / "all.jsonl", numbers(0, 60), ("question", "label"))
    try:
        unsure = run_of(folder, named + UPDATE, "unsure")  # tinsmith's own names
        assert unsure.done(engine.DATA).facts.new.train == 18
        grouped = named.replace('label"', 'label"\ngroup = "user"')
        with (folder / "all.jsonl").open() as file:
            rows = [{**json.loads(line), "user": f"{n}"} for n, line in enumerate(file)]
        (folder / "grouped.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        shaped = grouped.replace("all.jsonl", "grouped.jsonl") + UPDATE
        assert run_of(folder, shaped, "grouped").done(engine.DATA).facts.new.train == 18
        write(folder / "named.jsonl", numbers(100, 120), ("question", "label"))
        run = run_of(folder, named + UPDATE.replace("new.jsonl", "named.jsonl"), "named")
        assert inputs_of(run, "train") == inputs_of(unsure, "train")
        (folder / "many").mkdir()
        write(folder / "many" / "train.jsonl", numbers(100, 120), ("question", "label"))
        run = run_of(folder, named + UPDATE.replace("new.jsonl", "many"), "many-run")
        assert inputs_of(run, "train") == inputs_of(unsure, "train")
    finally:
        write(folder / "all.jsonl", numbers(0, 60))


def test_another_picture_of_a_new_example_is_another_input(folder: Path) -> None:
    row = {"input": "what is it?", "output": "odd", "image": "p.png"}
    (folder / "seen.jsonl").write_text(json.dumps(row) + "\n")
    (folder / "seen.toml").write_text(RECIPE + UPDATE.replace("new.jsonl", "seen.jsonl"))
    found = []
    for color in ("red", "blue"):
        Image.new("RGB", (8, 8), color).save(folder / "p.png")
        run = Run(recipe.load(folder / "seen.toml"), folder / "seen", progress.PlainDisplay())
        found.append(engine.DATA.digests(engine.DATA.inputs(run)))
    assert found[0] != found[1]


def test_whether_new_examples_are_read_again_decides_a_training(folder: Path) -> None:
    """Also beside so many old ones that those are not, whose digest a stated key leaves as it is."""
    base = Base(None, "", "", 0, "llama", None, None)
    new, digests = New(5, 1, 0, 0), {split_name("test"): ""}
    made = Augmentation(1, 1, {}, {}, {}, {})
    found = []
    for stated in ("", "originals_once = true\n"):
        (folder / "many.toml").write_text(RECIPE + stated + UPDATE)
        loaded = recipe.load(folder / "many.toml")
        data = Prepared(base, None, 0, {"train": 2005}, 0, made, new, recipe=loaded, files={}, digests=digests)
        assert loaded.reads_originals_once(2005, True)
        found.append(of_train(data)["update"])
    assert found[0] != found[1]
    assert options(loaded, 2000, made=True, goes_on=True).originals_once is True


def test_how_an_update_is_made_again_names_what_it_goes_on_from(folder: Path) -> None:
    given = {"adapter": str(folder / "run/adapter"), "data": str(folder / "new.jsonl")}
    updated = recipe.load(folder / "home.toml", update={**given, "retrain": "never"})
    assert update.flags(updated) == ["--from", "adapter", "--data", "new.jsonl", "--retrain", "never"]
    assert update.flags(recipe.load(folder / "home.toml")) == []
