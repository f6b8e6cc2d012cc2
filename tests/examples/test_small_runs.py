"""Each small example is one command: run with a tiny random base and a few rows, its report has its figures."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.models.tiny_models import tiny_spec
from tests.models.transformers_models import CHATML
from tinsmith import cli, models, tasks
from tinsmith.models import family

EXAMPLES = Path(__file__).parents[2] / "examples"
COUNTS = {"train": 12, "validation": 4, "test": 6}
DOCUMENT = '{"type":"readme","year":null,"subject":"libs"}'
# Rows as the scripts write them whose sources a test has not.
ROWS: dict[str, Any] = {
    "classify": lambda n: {
        "text": f"mail {n} of {'buy' if n % 2 else 'boot'}",
        "label": ("spam", "linux")[n % 2],
    },
    "documents": lambda n: {"input": f"README number {n}", "output": DOCUMENT, "group": f"package{n}"},
    "language": lambda n: {"source": f"Open window {n}", "target": f"Vierç il barcon {n}"},
    "voice": lambda n: {"prompt": f"The {n} ways of a fool:", "completion": f"but {n} ways are right."},
}


def prepare(name: str, folder: Path) -> None:
    """A copy of an example with data of a few rows."""
    from tests.examples import test_small

    shutil.copytree(EXAMPLES / name, folder, ignore=shutil.ignore_patterns("data", "packages", "runs"))
    data = folder / "data"
    data.mkdir()
    if name in ROWS:
        first = 0
        for split, count in COUNTS.items():
            made = [ROWS[name](n) for n in range(first, first + count)]
            first += count
            (data / f"{split}.jsonl").write_text(
                "".join(json.dumps(row) + "\n" for row in made), encoding="utf-8"
            )
        (data / "LICENSES.txt").write_text("free\n")
    if name == "documents":
        schema = test_small.load(EXAMPLES / "documents" / "sample.py").SCHEMA
        (data / "schema.json").write_text(json.dumps(schema))
    if name in ("api", "code", "extract"):
        tools = {"api": "tools.toml", "code": "commands.toml"}.get(name)
        script = test_small.load(EXAMPLES / ("api" if tools else name) / "sample.py")
        more = ["--tools", str(EXAMPLES / name / str(tools))] if tools else []
        assert script.main(["--out", str(data), *more]) == 0
        for split, count in COUNTS.items():
            path = data / f"{split}.jsonl"
            path.write_text("".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[:count]))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("base") / "base.gguf"
    sizes = {"hidden_size": 96, "intermediate_size": 96, "max_position_embeddings": 8192}
    models.save_gguf(replace(tiny_spec(family.by_name("llama"), **sizes), chat_template=CHATML), path)
    return path


def shorten(recipe: Path, base: Path) -> None:
    text = recipe.read_text(encoding="utf-8")
    if "[train]\n" not in text:  # it trains by the defaults
        text += "\n[train]\nepochs = 8\n"
    for key, value in {
        "model": f'"{base}"',
        "epochs": "1",
        "baseline_limit": "2",
        "shots": "1",
        "max_tokens": "8",
        "examples": "4",
    }.items():
        text = re.sub(rf"^{key} = .*", f"{key} = {value}", text, flags=re.MULTILINE)
    text = text.replace("[train]\n", "[train]\nmax_length = 4000\n").replace(
        "[eval]\n", "[eval]\nthreads = 1\n"
    )
    recipe.write_text(text, encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["api", "classify", "code", "documents", "extract", "language", "voice"])
def test_an_example_is_one_command(name: str, base: Path, tmp_path: Path) -> None:
    prepare(name, tmp_path / name)
    shorten(tmp_path / name / "recipe.toml", base)
    assert cli.main(["make", str(tmp_path / name / "recipe.toml"), "--out", str(tmp_path / "run")]) == 0
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    task = tasks.by_name(report["task"])
    assert ("shipped_q8_0_constrained" in report["systems"]) == (task.source is not None)
    for system in report["systems"].values():
        assert {figure.key for figure in task.words.figures} <= system["task"].keys()
    tuned = report["systems"]["shipped_q8_0"]["task"]
    if task.name == "classify":
        assert 0 <= tuned["calibration_error"] <= 1
        assert report["systems"]["tfidf"]["task"]["chosen"] is not None
    if task.name == "chat":
        assert tuned["perplexity"] > 1 and report["systems"]["nearest"]["task"]["perplexity"] is None
    page = (tmp_path / "run" / "report.html").read_text()
    assert "By the measures of the task" in page
    assert all(f"<th>{figure.title}</th>" in page for figure in task.words.figures)


@pytest.mark.slow
def test_three_examples_in_one_file_are_one_command(base: Path, tmp_path: Path) -> None:
    for name in ("api", "classify", "extract"):
        prepare(name, tmp_path / name)
    shutil.copytree(EXAMPLES / "router", tmp_path / "router", ignore=shutil.ignore_patterns("data", "runs"))
    (tmp_path / "router" / "data").mkdir()
    for name in ("off_topic", "off_topic_test"):
        (tmp_path / "router" / "data" / f"{name}.txt").write_text("".join(f"{name} is {n}\n" for n in range(8)))
    shorten(tmp_path / "router" / "recipe.toml", base)
    assert cli.main(["make", str(tmp_path / "router" / "recipe.toml"), "--out", str(tmp_path / "run")]) == 0
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert set(report["tasks"]) == {"api", "classify", "extract"}
