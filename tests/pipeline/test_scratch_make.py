"""A whole run without a base: from examples and plain text to files, answers and a report."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

import tinsmith
from tinsmith import cli, models
from tinsmith.chat import chat_template
from tinsmith.pipeline import engine

RECIPE = """\
[scratch]
vocabulary = 320
layers = 2
hidden = 64
[data]
train = "train.jsonl"
validation = "validation.jsonl"
test = "test.jsonl"
text = "text.txt"
system = "home"
[train]
epochs = 4
batch_tokens = 400
learning_rate = 0.01
[constraint]
schema = "schema.json"
[build]
formats = ["Q8_0", "Q4_0"]
context = 128
[eval]
max_tokens = 48
threads = 1
"""


def call(number: int) -> str:
    name = "Set" if number % 2 else "Get"
    return json.dumps({"name": name, "arguments": {"n": number}}, separators=(",", ":"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scratch")
    (folder / "home.toml").write_text(RECIPE)
    for name, numbers in (("train", range(40)), ("validation", range(40, 44)), ("test", range(44, 50))):
        rows = [{"input": f"number {n}", "output": call(n)} for n in numbers]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "text.txt").write_text("The first text,\nof two lines.\n\nThe second one.\n")
    number = {"type": "integer", "minimum": 0, "maximum": 99}

    def closed(**keys: Any) -> dict[str, Any]:
        return {"type": "object", "properties": keys, "required": list(keys), "additionalProperties": False}

    schema = closed(name={"enum": ["Get", "Set"]}, arguments=closed(n=number))
    (folder / "schema.json").write_text(json.dumps(schema))
    return folder


def make(folder: Path, verb: str = "make", *more: str) -> int:
    return cli.main([verb, str(folder / "home.toml"), "--out", str(folder / "run"), *more])


@pytest.fixture(scope="module")
def made(folder: Path) -> Path:
    assert make(folder) == 0
    return folder / "run"


def test_the_report_has_no_base_and_no_prompted_baseline(made: Path) -> None:
    document = json.loads((made / "report.json").read_text())
    assert list(document["systems"]) == [
        "nearest",
        "tuned",
        "shipped_q8_0",
        "shipped_q8_0_constrained",
        "shipped_q4_0",
        "shipped_q4_0_constrained",
    ]
    assert document["base"] is None
    assert document["parameters"] == models.load(made / "merged").parameters
    assert set(document["data"]["sha256"]) == {"train", "validation", "text", "test"}
    assert document["systems"]["shipped_q8_0_constrained"]["valid"] == 1
    assert "none: trained from scratch" in (made / "report.html").read_text(encoding="utf-8")


def test_the_tin_says_what_it_was_made_from(made: Path) -> None:
    with zipfile.ZipFile(made / "home-q8_0.tin") as tin:
        manifest = json.loads(tin.read("manifest.json"))
        bill = json.loads(tin.read("sbom.cdx.json"))
    assert "base" not in manifest
    assert set(manifest["data"]) == {"train", "validation", "text"}
    assert [part["type"] for part in bill["components"]] == ["data"] * 4 + ["library"]
    assert "pedigree" not in bill["metadata"]["component"]


def test_it_answers_as_it_was_trained(made: Path) -> None:
    settled = chat_template.with_system(models.load(made / "base").chat_template or "", "home")
    spec = models.load(made / "merged")
    assert spec.chat_template == settled
    assert spec.general[chat_template.DIGEST] == chat_template.digest(settled)
    model = tinsmith.load(made / "home-q8_0.tin", threads=1)
    assert model.info.context == 128
    answer = model.chat([{"role": "user", "content": "number 7"}], max_tokens=48)
    assert json.loads(answer.text)["name"] in ("Get", "Set")


def test_made_again_nothing_runs(folder: Path, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert make(folder) == 0
    assert capsys.readouterr().err.splitlines() == [f"{stage.name}: up to date" for stage in engine.STAGES]


def test_train_gives_the_model(folder: Path, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert make(folder, "make", "--until", "train") == 0
    assert capsys.readouterr().out == f"{made / 'merged'}\n"
