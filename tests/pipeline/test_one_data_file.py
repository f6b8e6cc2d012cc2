"""A recipe with one file of examples, in a shape of others."""

from __future__ import annotations

import json
import os
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.models.tiny_models import tiny_spec
from tests.models.transformers_models import CHATML
from tinsmith import cli, models
from tinsmith.data.readers import Turn, read_jsonl
from tinsmith.errors import DataError, InputError, RecipeError
from tinsmith.models import family
from tinsmith.pipeline import engine, recipe
from tinsmith.system import progress

RECIPE = """\
[base]
model = "base.gguf"
[data]
train = "all.csv"
task = "classify"
[train]
epochs = 1
batch_tokens = 4096
[build]
formats = ["Q8_0"]
context = 512
[eval]
baselines = ["zero_shot", "few_shot", "nearest"]
baseline_limit = 2
max_tokens = 4
threads = 1
"""
SPLITS = ("train", "validation", "test")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    spec = replace(tiny_spec(family.by_name("llama"), max_position_embeddings=1024), chat_template=CHATML)
    models.save_gguf(spec, tmp_path / "base.gguf")
    write(tmp_path, 60)
    (tmp_path / "home.toml").write_text(RECIPE)
    return tmp_path


def write(folder: Path, count: int, first: int = 0) -> None:
    chance = random.Random(first)
    rows = [f'"{" ".join(f"{chance.randrange(10**6)}" for _ in range(5))}",{"ab"[n % 2]}' for n in range(count)]
    with (folder / "all.csv").open("a") as file:
        file.write("".join(f"{row}\n" for row in (["text,label"] if not first else []) + rows))


def data_of(folder: Path, **display: Any) -> dict[str, set[str]]:
    engine.make(recipe.load(folder / "home.toml"), folder / "run", progress.PlainDisplay(), "data")
    return {
        split: {one.input for one in read_jsonl(folder / "run" / f"data/{split}.jsonl")} for split in SPLITS
    }


def test_one_file_makes_a_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["make", str(folder / "home.toml"), "--out", str(folder / "run")]) == 0
    told = capsys.readouterr().err
    assert 'all.csv: CSV, read as text-label (input = "text", output = "label")' in told
    assert told.count(" → ") == 3
    assert "60 examples divided into 42 train, 12 test, 6 validation; see data/splits.json" in told
    report = json.loads((folder / "run" / "report.json").read_text())
    assert report["data"]["counts"] == {"train": 42, "validation": 6, "test": 12}
    assert report["data"]["divided"] == {
        "made": ["train", "test", "validation"],
        "kept": 0,
        "groups": 60,
        "near": 0,
    }
    assert report["test"]["items"] == 12 and report["test"]["inputs_in_train"] == 0
    assert "divided from one file" in (folder / "run" / "report.html").read_text()


def test_rows_that_come_later_leave_the_others_where_they_are(folder: Path) -> None:
    before = data_of(folder)
    write(folder, 40, first=1)
    after = data_of(folder)
    assert all(before[split] <= after[split] for split in SPLITS)
    assert sum(map(len, after.values())) == 100
    assert (
        json.loads((folder / "run" / "run.json").read_text())["stages"]["data"]["facts"]["divided"]["kept"]
        == 60
    )
    text = (folder / "home.toml").read_text()
    (folder / "home.toml").write_text(text.replace("[train]", "near_duplicate = 0.9\n[train]"))
    data_of(folder)
    facts = json.loads((folder / "run" / "run.json").read_text())["stages"]["data"]["facts"]
    assert facts["divided"]["kept"] == 0


def test_a_split_that_is_given_is_not_made(folder: Path) -> None:
    (folder / "test.csv").write_text("text,label\nanother,a\n")
    text = (folder / "home.toml").read_text()
    (folder / "home.toml").write_text(
        text.replace("task =", 'test = "test.csv"\nsplit_shares = { validation = 0.3 }\ntask =')
    )
    got = data_of(folder)
    assert got["test"] == {"another"}
    assert (len(got["train"]), len(got["validation"])) == (42, 18)


def test_rows_that_are_all_alike_leave_nothing_to_test_on(folder: Path) -> None:
    (folder / "all.csv").write_text(
        "text,label\n" + "".join(f"one and the same text again or over and once more {n},a\n" for n in range(9))
    )
    with pytest.raises(
        DataError, match=r"9 examples, 9 of them like others, leave none for test; give more, a file"
    ):
        data_of(folder)
    text = (folder / "home.toml").read_text()
    (folder / "home.toml").write_text(text.replace("[train]", "near_duplicate = 1\n[train]"))
    assert all(data_of(folder).values())


def test_a_damaged_row_stops_the_run_with_its_line(folder: Path) -> None:
    with (folder / "all.csv").open("a") as file:
        file.write("only a text\n")
    with pytest.raises(DataError, match=r"all\.csv:62: has 1 cells where the header has 2"):
        data_of(folder)


def test_a_context_that_the_base_has_not_is_refused_with_the_data(folder: Path) -> None:
    (folder / "home.toml").write_text(RECIPE.replace("context = 512", "context = 1025"))
    with pytest.raises(InputError, match=r"home.toml: \[build\] context: 1025 is longer than the base's 1024"):
        data_of(folder)


def test_a_test_row_that_no_session_can_be_asked_is_refused_before_training(folder: Path, capsys: Any) -> None:
    (folder / "test.csv").write_text("text,label\n" + '"one two",a\n' + f'"{"many words " * 400}",b\n')
    (folder / "home.toml").write_text(RECIPE.replace("task =", 'test = "test.csv"\ntask ='))
    assert cli.main(["make", "--until", "train", str(folder / "home.toml"), "--out", str(folder / "run")]) == 2
    assert "test.jsonl:2: the example asks with" in capsys.readouterr().err.splitlines()[-1]
    assert not (folder / "run/adapter").exists()


def test_a_context_that_was_lowered_after_training_is_refused_before_anything_is_built(
    folder: Path, capsys: Any
) -> None:
    (folder / "test.csv").write_text("text,label\n" + '"one two",a\n' + f'"{"many words " * 20}",b\n')
    for context, ended in ((512, 0), (64, 2)):
        changed = RECIPE.replace("task =", 'test = "test.csv"\ntask =').replace("512", str(context))
        (folder / "home.toml").write_text(changed)
        assert cli.main(["build", str(folder / "home.toml"), "--out", str(folder / "run")]) == ended
    said = capsys.readouterr().err.splitlines()
    assert "train: up to date" in said
    assert re.search(
        r"test.jsonl:2: the example asks with \d+ tokens, and a session holds 64 .*raise \[build\] context",
        said[-1],
    )


def test_another_licence_is_copied_anew(folder: Path) -> None:
    (folder / "home.toml").write_text(RECIPE.replace("task =", 'licenses = "L.txt"\ntask ='))
    for text in ("one", "another"):
        (folder / "L.txt").write_text(text)
        data_of(folder)
        assert (folder / "run/data/LICENSES.txt").read_text() == text


def test_a_command_that_no_system_can_run(folder: Path) -> None:
    (folder / "home.toml").write_text(RECIPE.replace("all.csv", 'no.csv"\ncommand = ["a\\u0000b"]#'))
    with pytest.raises(InputError, match=r"\[data\] command: a\0b: embedded null byte"):
        data_of(folder)


def test_names_that_are_not_utf_8(folder: Path) -> None:
    """Of a file, and of a folder of a label, which no file can hold."""
    for label in ("a", "b"):
        (folder / "set" / label).mkdir(parents=True)
        for n in range(9):
            (folder / "set" / label / f"{n}.txt").write_text(
                f"{label}{n} is another text than the others {n}{label}"
            )
    (folder / "home.toml").write_text(RECIPE.replace("all.csv", "set"))
    Path(folder, "set/a/0.txt").rename(os.fsdecode(os.fsencode(folder) + b"/set/a/\xff.txt"))
    assert sum(map(len, data_of(folder).values())) == 18
    Path(folder, "set/b").rename(os.fsdecode(os.fsencode(folder) + b"/set/\xff"))
    with pytest.raises(InputError, match=r"jsonl: cannot write a name that is not UTF-8: .*udcff.*; rename it"):
        data_of(folder)


def test_a_folder_that_has_splits_gives_them(folder: Path) -> None:
    for split in SPLITS:
        (folder / "set" / split).mkdir(parents=True)
        (folder / "set" / split / "0.jsonl").write_text(f'{{"text": "{split}", "label": "a"}}\n')
    (folder / "home.toml").write_text(RECIPE.replace("all.csv", "set"))
    assert data_of(folder) == {split: {split} for split in SPLITS}


def test_a_chat_is_trained_and_asked_with_its_turns(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def row(n: int) -> str:
        asked = [
            ("system", "be brief"),
            ("user", f"first {n * 7919}"),
            ("assistant", "one"),
            ("user", f"then {n}"),
        ]
        told = [{"role": role, "content": content} for role, content in [*asked, ("assistant", "two")]]
        return json.dumps({"messages": told})

    (folder / "chats.jsonl").write_text("".join(row(n) + "\n" for n in range(20)))
    text = RECIPE.replace("all.csv", "chats.jsonl").replace("classify", "chat")
    (folder / "home.toml").write_text(text.replace("[train]", "near_duplicate = 1\n[train]", 1))
    assert cli.main(["make", str(folder / "home.toml"), "--out", str(folder / "run")]) == 0
    assert "every row has the same system message; state it as [data] system" in capsys.readouterr().err
    examples = {one.input: one for one in read_jsonl(folder / "run" / "data/test.jsonl")}
    for name in ("zero_shot", "few_shot", "shipped_q8_0"):
        asked = json.loads((folder / "run" / "eval" / f"{name}.job.json").read_text())["items"][0]["messages"]
        example = examples[asked[-1]["content"]]
        assert asked[0] == {"role": "system", "content": "be brief"}
        assert example.turns == (
            Turn("system", "be brief"),
            Turn("user", asked[-3]["content"]),
            Turn("assistant", "one"),
        )


def test_a_fine_tuning_file_with_tools_is_enough(folder: Path) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    tools = [{"type": "function", "function": {"name": "set", "parameters": schema}}]

    def row(n: int) -> str:
        call = {"type": "function", "function": {"name": "set", "arguments": f'{{"n": {n}}}'}}
        asked = {"role": "user", "content": f"number {n * 7919} {n * 104729}"}
        return json.dumps({"messages": [asked, {"role": "assistant", "tool_calls": [call]}], "tools": tools})

    (folder / "calls.jsonl").write_text("".join(row(n) + "\n" for n in range(20)))
    table = '[constraint]\ntools = "calls.jsonl"\n[build]'
    text = RECIPE.replace("all.csv", "calls.jsonl").replace("classify", "call").replace("[build]", table)
    (folder / "home.toml").write_text(text.replace("task =", 'tools = "calls.jsonl"\ntask ='))
    assert sum(map(len, data_of(folder).values())) == 20
    facts = json.loads((folder / "run" / "run.json").read_text())["stages"]["data"]["facts"]
    assert facts["test_outputs_forbidden"] == 0 and facts["constraint"]["file"] == "calls.jsonl"
    assert (folder / "run" / "data/answer.bin").exists()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (
            (
                'train = "all.csv"\ntask = "classify"\n[train]\n',
                'preferences = "p"\ntask = "chat"\n[train]\nmethod = "dpo"\n',
            ),
            "[data] validation: missing; give it, or train to make it of",
        ),
        (
            ("task =", 'validation = "v"\nsplit_shares = { validation = 0.1 }\ntask ='),
            "[data] split_shares: validation is given as a file",
        ),
        (
            ("task =", 'validation = "v"\ntest = "t"\nnear_duplicate = 1\ntask ='),
            "near_duplicate: nothing is divided",
        ),
        (
            ("task =", "split_shares = { validation = 0.5, test = 0.6 }\ntask ="),
            "[data] split_shares: 0.5 and 0.6 of the examples leave none to learn from",
        ),
        (
            ("task =", "split_shares = { test = 0.9 }\ntask ="),
            "split_shares: 0.1 and 0.9 of the examples leave none",
        ),
        (("task =", 'shape = "excel"\ntask ='), "[data] shape"),
        (("task =", "input = []\ntask ="), "[data] input"),
    ],
)
def test_what_a_recipe_says_of_splits_must_apply(change: tuple[str, str], what: str, tmp_path: Path) -> None:
    (tmp_path / "home.toml").write_text(RECIPE.replace(*change))
    with pytest.raises(RecipeError) as caught:
        recipe.load(tmp_path / "home.toml")
    assert what in str(caught.value)


def test_lists_of_labels_are_outputs_of_classify(folder: Path) -> None:
    rows = [(f"text of number {n}", ['["a","b"]', '["c"]', "[]"][n % 3]) for n in range(60)]
    lines = (json.dumps({"text": text, "label": label}) + "\n" for text, label in rows)
    (folder / "all.jsonl").write_text("".join(lines))
    text = (folder / "home.toml").read_text()
    (folder / "home.toml").write_text(
        text.replace("all.csv", "all.jsonl") + "[constraint]\nchoices = 'labels'\n"
    )
    got = data_of(folder)
    assert sum(map(len, got.values())) == 60
