"""A starter runs as it is: its data is good, and the data stage takes it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.models.tiny_models import tiny_spec
from tinsmith import cli, models
from tinsmith.pipeline import checking, engine, recipe
from tinsmith.prepare import check, starting
from tinsmith.system import progress
from tinsmith.tasks import names

TEMPLATE = (
    "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    models.save_hf(replace(tiny_spec("llama"), chat_template=TEMPLATE), folder)
    return folder


def test_they_are_of_tasks() -> None:
    assert {"call", "chat", "classify", "extract"} <= set(starting.names()) <= set(names())


@pytest.mark.parametrize("task", starting.names())
def test_a_starter_runs_as_it_is(task: str, base: Path, tmp_path: Path) -> None:
    path = starting.start(task, tmp_path / "new", str(base))
    loaded = recipe.load(path)
    assert (loaded.data.task, loaded.base and loaded.base.model) == (task, str(base.resolve()))
    found = check.run(checking.of_recipe(loaded))
    assert [one.message for kind in found.findings.values() for one in kind if one.severity != "note"] == []
    assert "too_long" not in found.skipped
    run = engine.make(loaded, tmp_path / "run", progress.display(), "data")
    made = run.done(engine.DATA).facts
    assert made.counts == {"train": 10, "validation": 10, "test": 10}
    assert (made.test_outputs_forbidden, made.test_inputs_in_train) == (0, 0)


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["init", "extract", "--base", "qwen"]) == 0
    assert capsys.readouterr().out.startswith(f"{Path('extract') / 'recipe.toml'}\n")
    assert 'model = "qwen"' in (tmp_path / "extract" / "recipe.toml").read_text("utf-8")
    assert json.loads((tmp_path / "extract" / "schema.json").read_text("utf-8"))["type"] == "object"
    before = sorted(tmp_path.rglob("*"))
    assert cli.main(["init", "extract"]) == 2
    assert "exists and can't be replaced" in capsys.readouterr().err
    assert cli.main(["init", "poetry"]) == 2
    assert 'task "poetry" has no starter; there are call, chat, classify, extract' in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before
