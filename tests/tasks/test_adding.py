"""Adding a task is adding one file: recipes, data, prompts, grading and reports take it from there."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.models.scratch_tree import copy, shell
from tests.models.tiny_models import tiny_spec
from tests.models.transformers_models import CHATML
from tinsmith import models, tasks
from tinsmith.errors import RecipeError
from tinsmith.models import family
from tinsmith.pipeline import recipe

SOURCE = Path(tasks.__file__).parents[1]
TASK = '''
"""count: a whole number."""

from tinsmith.tasks import Task, Words


class Count(Task):
    name = "count"
    words = Words("counts", exact="the same number", valid="a whole number", label="sign", labels="signs")

    def parse(self, text):
        return int(text) if text.strip().lstrip("-").isdecimal() else None

    def label(self, output):
        value = self.parse(output)
        return None if value is None else "minus" if value < 0 else "plus"

    def instruction(self, train, tools):
        return "Answer with a number."


task = Count()
'''
RECIPE = """\
[base]
model = "base.gguf"
[data]
train = "data.jsonl"
validation = "data.jsonl"
test = "data.jsonl"
task = "count"
[train]
epochs = 1
[build]
formats = ["Q8_0"]
context = 256
[eval]
baselines = ["zero_shot", "nearest"]
max_tokens = 4
threads = 1
"""


@pytest.mark.slow
def test_a_task_is_one_file(tmp_path: Path) -> None:
    source = copy(tmp_path / "tree", {"src/tinsmith/tasks/count.py": TASK})
    words = ("make", str(tmp_path / "home.toml"), "--out", str(tmp_path / "run"))
    spec = replace(tiny_spec(family.by_name("llama")), chat_template=CHATML)
    models.save_gguf(spec, tmp_path / "base.gguf")
    (tmp_path / "home.toml").write_text(RECIPE)
    rows = [{"input": f"what is {n}", "output": str(n), "accept": [f"{n:+}"]} for n in range(-4, 5)]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = shell(source, *words)
    assert done.returncode == 2
    assert "data.jsonl:5: not a valid output of the task count: +0" in done.stderr
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row | {"accept": []}) + "\n" for row in rows))
    done = shell(source, *words)
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "run" / "report.json").read_text())
    assert document["task"] == "count"
    nearest = document["systems"]["nearest"]  # which does not see a sign: 1 to 4 are taken for -1 to -4
    assert (nearest["valid"], nearest["function"], nearest["exact"]) == (1, 5 / 9, 5 / 9)
    (first, *_) = json.loads((tmp_path / "run" / "eval" / "zero_shot.job.json").read_text())["items"]
    assert first["messages"][0] == {"role": "system", "content": "Answer with a number."}
    page = (tmp_path / "run" / "report.html").read_text()
    assert "9 held-out counts" in page
    assert "<em>Exact</em>: the same number." in page and "<em>Valid</em>: a whole number." in page
    assert "<th>Right sign</th>" in page


def test_without_the_file_there_is_no_such_task(tmp_path: Path) -> None:
    (tmp_path / "home.toml").write_text(RECIPE)
    with pytest.raises(RecipeError, match='task: got "count"; allowed is one of "call", "chat", "classify"'):
        recipe.load(tmp_path / "home.toml")


def test_no_other_module_names_a_task() -> None:
    """Those names that are not words of something else too: a chat, and a tool's call."""
    for path in SOURCE.rglob("*"):
        if path.suffix in (".py", ".j2") and path.parent.name != "tasks":
            assert not re.search(r"[\"'](classify|extract)[\"']", path.read_text(encoding="utf-8")), path
