"""A run of two tasks on one tiny base: from examples to one sealed file that has both, and a router."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tiny_models import tiny_spec

from tinsmith import cli, models
from tinsmith.models import family

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
RECIPE = """\
[base]
model = "base.gguf"
[train]
epochs = 1
batch_tokens = 4096
[build]
formats = ["F16", "Q8_0"]
context = 1024
[eval]
baselines = ["nearest"]
max_tokens = 24
threads = 1
[router]
off_topic = "data/off.txt"
test = "data/off_test.txt"

[[task]]
name = "numbers"
[task.data]
train = "data/numbers-train.jsonl"
validation = "data/numbers-validation.jsonl"
test = "data/numbers-test.jsonl"
system = "home"
command = ["python", "sample.py"]
licenses = "data/LICENSES.txt"
[task.constraint]
tools = "data/tools.json"

[[task]]
name = "mood"
[task.data]
task = "classify"
train = "data/mood-train.jsonl"
validation = "data/mood-validation.jsonl"
test = "data/mood-test.jsonl"
[task.constraint]
choices = "labels"
[task.train]
epochs = 2
"""
SAMPLE = """\
import json, pathlib
out = pathlib.Path("data"); out.mkdir()
def write(name, rows):
    (out / name).write_text("".join(json.dumps({"input": i, "output": o}) + "\\n" for i, o in rows))
splits = {"train": range(12), "validation": range(12, 16), "test": range(16, 24)}
for split, numbers in splits.items():
    call = lambda n: json.dumps({"name": "Set", "arguments": {"n": n}}, separators=(",", ":"))
    write(f"numbers-{split}.jsonl", [(f"number {n}", call(n)) for n in numbers])
    write(f"mood-{split}.jsonl", [(f"{'good' if n % 2 else 'bad'} film {n}!", "ny"[n % 2]) for n in numbers])
parameters = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
tool = {"name": "Set", "parameters": parameters}
(out / "tools.json").write_text(json.dumps([{"type": "function", "function": tool}]))
(out / "LICENSES.txt").write_text("numbers are free\\n")
(out / "off.txt").write_text("".join(f"what is {n}?\\n" for n in range(10)))
(out / "off_test.txt").write_text("".join(f"what is {n}?\\n" for n in range(10, 16)))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe, its base and what makes its data; and the run of it in `run`."""
    folder = tmp_path_factory.mktemp("skills")
    sizes = {"hidden_size": 96, "intermediate_size": 96, "max_position_embeddings": 2048}
    spec = replace(tiny_spec(family.by_name("llama"), **sizes), chat_template=CHATML)
    models.save_gguf(spec, folder / "base.gguf")
    (folder / "two.toml").write_text(RECIPE)
    (folder / "sample.py").write_text(SAMPLE)
    return folder


@pytest.fixture(scope="module")
def made(folder: Path) -> Path:
    assert cli.main(["make", str(folder / "two.toml"), "--out", str(folder / "run")]) == 0
    return folder / "run"
