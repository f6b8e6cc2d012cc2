"""A run of two tasks on one tiny base: from examples to one sealed file that has both, and a router."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tinsmith
from tests.models.tiny_models import tiny_spec
from tests.models.transformers_models import CHATML
from tinsmith import cli, models
from tinsmith.errors import DataError, InputError
from tinsmith.models import family
from tinsmith.pipeline import engine, recipe
from tinsmith.pipeline.run import Run
from tinsmith.plan import contents
from tinsmith.system import files, progress

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
    # As our own files say it, which is not the digest of the file itself.
    models.save_gguf(replace(spec, source="5e" * 32), folder / "base.gguf")
    (folder / "two.toml").write_text(RECIPE)
    (folder / "sample.py").write_text(SAMPLE)
    return folder


@pytest.fixture(scope="module")
def made(folder: Path) -> Path:
    assert cli.main(["make", str(folder / "two.toml"), "--out", str(folder / "run")]) == 0
    return folder / "run"


def load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def inputs(folder: Path, name: str) -> list[str]:
    lines = (folder / "data" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["input"] for line in lines]


def test_one_file_has_every_task_with_its_own_template_and_constraint(made: Path) -> None:
    model = tinsmith.load(made / "two-q8_0.tin", threads=1)
    assert list(model.adapters) == ["numbers", "mood"]
    asked = [{"role": "user", "content": "number 7"}]
    assert model.chat(asked, adapter="mood", max_tokens=8).text in ("n", "y")
    assert model.chat(asked, adapter="numbers", max_tokens=48).text.startswith(
        '{"name":"Set","arguments":{"n":'
    )
    facts = model.tin.manifest["adapters"]
    assert facts["numbers"]["data"]["train"] == files.sha256_file(made / "tasks/numbers/data/train.jsonl")
    assert set(facts["numbers"]["metrics"]) == {"unconstrained", "constrained", "routed"}
    assert model.tin.entry("adapter/numbers/LICENSES/data.txt") == b"numbers are free\n"


def test_the_adapter_is_the_one_of_a_run_of_its_own(made: Path, folder: Path, tmp_path: Path) -> None:
    text = RECIPE.replace("base.gguf", str(folder / "base.gguf")).replace("data/", f"{folder}/data/")
    alone = text[: text.index("[router]")] + text[text.rindex("[task.data]") :].replace("[task.", "[")
    alone = alone.replace("epochs = 1\nbatch_tokens = 4096", "").replace(
        "epochs = 2", "epochs = 2\nbatch_tokens = 4096"
    )
    (tmp_path / "mood.toml").write_text(alone.replace("[train]\n\n", "").replace("[train]\n[build]", "[build]"))
    assert (
        cli.main(["make", "--until", "train", str(tmp_path / "mood.toml"), "--out", str(tmp_path / "run")]) == 0
    )
    name = "adapter/adapter_model.safetensors"
    assert files.sha256_file(tmp_path / "run" / name) == files.sha256_file(made / "tasks/mood" / name)


def test_the_file_routes_as_the_report_says(made: Path, folder: Path) -> None:
    model, document = tinsmith.load(made / "two-q8_0.tin", threads=1), load(made / "report.json")
    asked = {name: inputs(folder, f"{name}-test") for name in ("numbers", "mood")}
    asked["off topic"] = (folder / "data" / "off_test.txt").read_text().splitlines()
    counts: dict[tuple[str, str], int] = {}
    for name, texts in asked.items():
        for text in texts:
            pair = (name, model.route(text).task or "none")
            counts[pair] = counts.get(pair, 0) + 1
    said = document["router"]["Q8_0"]
    assert counts == {(row["expected"], row["chosen"]): row["count"] for row in said["confusion"]}
    right = sum(counts.get((name, name), 0) for name in ("numbers", "mood"))
    assert said["right"] == right / 16
    assert said["off_topic"]["right"] == counts.get(("off topic", "none"), 0) / 6
    assert model.tin.manifest["router"]["measured"]["confusion"] == said["confusion"]


def test_a_routed_answer_is_that_of_its_adapter(made: Path, folder: Path) -> None:
    model = tinsmith.load(made / "two-q8_0.tin", threads=1)
    for text in inputs(folder, "mood-test"):
        asked = [{"role": "user", "content": text}]
        answer = model.chat(asked, route=True, max_tokens=8)
        chosen = model.route(text).task
        if chosen:
            assert answer.text == model.chat(asked, adapter=chosen, max_tokens=8).text
        else:
            assert (answer.text, answer.finish) == ("", "none")


def test_what_is_compared_stands_beside_the_adapters(made: Path) -> None:
    document = load(made / "report.json")
    for name, task in document["tasks"].items():
        kinds = ("adapter", "adapter_constrained", "routed", "own", "own_constrained", "joint")
        names = {
            kind.replace("_constrained", "") + f"_{weights}" + ("_constrained" if "_" in kind else "")
            for kind in kinds
            for weights in ("f16", "q8_0")
        }
        assert set(task["systems"]) == names
        own = load(made / "tasks" / name / "report.json")["systems"]
        assert task["systems"]["own_q8_0"]["exact"] == own["shipped_q8_0"]["exact"]
        assert {system["items"] for system in task["systems"].values()} == {8}
    page = (made / "report.html").read_text(encoding="utf-8")
    assert "One adapter for all, Q8_0" in page
    assert 'href="tasks/mood/report.html"' in page


def test_what_the_tasks_add_is_known_before_they_are_trained(made: Path, folder: Path) -> None:
    sizes, rank = engine.planned(Run(recipe.load(folder / "two.toml"), made, progress.PlainDisplay()))
    held = contents.of_tin(made / "two-q8_0.tin")
    assert sizes == {
        name: size for name, size in held.entries.items() if name.startswith(("adapter/", "router"))
    }
    assert rank == held.adapter_rank


def test_a_file_that_adapters_make_too_large_is_refused_before_training(
    made: Path, folder: Path, tmp_path: Path
) -> None:
    held = contents.of_tin(made / "two-f16.tin")
    added = sum(size for name, size in held.entries.items() if name.startswith("adapter/"))
    board = 'inherits = "raspberrypi-5"\n[memory]\nstorage = {}\n[source]\nmemory = "a test"\n'
    (folder / "board.toml").write_text(board.format(held.file - added // 2))
    small = RECIPE.replace("[build]\n", '[build]\ntarget = "board.toml"\n')
    (folder / "small.toml").write_text(small + '[output]\nname = "two"\n')
    with pytest.raises(InputError, match="F16 .* does not fit board: the file takes"):
        engine.make(recipe.load(folder / "small.toml"), tmp_path / "run", progress.PlainDisplay())
    assert not list((tmp_path / "run").rglob("adapter_model.safetensors"))


def test_what_is_up_to_date_is_left(made: Path, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = load(made / "run.json")["stages"]
    assert cli.main(["make", str(folder / "two.toml"), "--out", str(made)]) == 0
    assert load(made / "run.json")["stages"] == before
    assert ": …" not in capfd.readouterr().err


def test_a_change_of_one_task_leaves_the_other(made: Path, folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(made, run)
    changed = RECIPE.replace("[task.train]\nepochs = 2", "[task.train]\nepochs = 3").replace(
        'test = "data/off_test.txt"', "compare = false"
    )
    (folder / "changed.toml").write_text(changed + '[output]\nname = "two"\n')
    assert cli.main(["build", str(folder / "changed.toml"), "--out", str(run)]) == 0
    for task, same in (("numbers", True), ("mood", False)):
        name = f"tasks/{task}/adapter/adapter_model.safetensors"
        assert (files.sha256_file(run / name) == files.sha256_file(made / name)) is same
    # What was not measured yet stands where the sealed files will, without figures.
    assert "metrics" not in tinsmith.load(run / "two-q8_0.tin").tin.manifest["adapters"]["mood"]


def test_a_context_that_was_lowered_is_refused_by_the_task_s_row(
    made: Path, folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(made, tmp_path / "run")
    (folder / "lower.toml").write_text(RECIPE.replace("1024", "16") + '[output]\nname = "two"\n')
    with pytest.raises(
        DataError, match=r"tasks/numbers/data/test.jsonl:1: .* a session holds 16 with the answer"
    ):
        engine.make(recipe.load(folder / "lower.toml"), tmp_path / "run", progress.PlainDisplay(), "build")


def test_a_prefix_is_one_of_the_adapters(made: Path, folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(made, run)
    prefix = 'method = "prefix"\nprefix_length = 3\n'
    (folder / "prefix.toml").write_text(f'{RECIPE}{prefix}[output]\nname = "two"\n')
    assert cli.main(["make", str(folder / "prefix.toml"), "--out", str(run)]) == 0
    model, document = tinsmith.load(run / "two-q8_0.tin", threads=1), load(run / "report.json")
    assert model.tin.manifest["adapters"]["mood"]["prefix"] == 3
    asked = [{"role": "user", "content": "good film 7!"}]
    assert model.chat(asked, adapter="mood", max_tokens=8).text in ("n", "y")
    # It is never merged: no tin of its own stands beside it.
    systems = {name: set(task["systems"]) for name, task in document["tasks"].items()}
    assert systems["numbers"] - systems["mood"] >= {"own_f16", "own_q8_0", "own_q8_0_constrained"}
    assert "joint_q8_0" in systems["mood"]
    page = (run / "report.html").read_text(encoding="utf-8")
    assert 'href="tasks/numbers/report.html"' in page
    assert 'href="tasks/mood/report.html"' not in page


def test_nothing_is_merged(folder: Path, tmp_path: Path) -> None:
    stated = recipe.load(folder / "two.toml")
    with pytest.raises(InputError, match=r"two\.toml: the adapters of several tasks .* nothing is merged"):
        engine.make(stated, tmp_path / "run", progress.PlainDisplay(), "merge")
    assert not (tmp_path / "run").exists()


def test_too_few_prompts_are_refused_before_training(made: Path, folder: Path, tmp_path: Path) -> None:
    data = folder / "data"
    (data / "empty.txt").write_text("\n")
    (data / "three.txt").write_text("what?\n\nwhy?\nwhen?\n")
    for key, file, name, message in (
        ("off_topic", "off", "empty", r"empty\.txt has 0 of the 4 prompts .* one a line"),
        ("off_topic", "off", "three", r"three\.txt has 3 of the 4 prompts"),
        ("test", "off_test", "empty", r"empty\.txt has 0 of the 1 prompts"),
    ):
        (folder / "few.toml").write_text(RECIPE.replace(f"data/{file}.txt", f"data/{name}.txt"))
        with pytest.raises(DataError, match=rf"few\.toml: \[router\] {key}: .*{message}"):
            engine.make(recipe.load(folder / "few.toml"), tmp_path / "run", progress.PlainDisplay())
        assert not list((tmp_path / "run").rglob("adapter"))
    (folder / "few.toml").write_text(RECIPE.replace("off.txt", "none.txt").replace("command =", "# "))
    with pytest.raises(DataError, match=r"none\.txt: no such file"):
        engine.make(recipe.load(folder / "few.toml"), tmp_path / "run", progress.PlainDisplay())


def test_what_a_command_leaves_out_is_refused_before_training(made: Path, folder: Path, tmp_path: Path) -> None:
    rows = "".join(f'{{"input": "{n}", "output": "n"}}\n' for n in range(2))
    (folder / "data" / "two.jsonl").write_text(rows)
    (folder / "data" / "one.jsonl").write_text('{"input": "2", "output": "n"}\n')
    off = RECIPE.replace("off.txt", "none.txt").replace('"python", "sample.py"', '"python", "-c", "0"')
    mood = RECIPE.replace("mood-train", "two").replace("mood-validation", "one")
    for text, message in (
        (off, r"none\.txt: no such file"),
        (mood, r"too few prompts of the task mood: it needs 4; .* more training examples"),
    ):
        (folder / "left.toml").write_text(text)
        with pytest.raises(DataError, match=message):
            engine.make(recipe.load(folder / "left.toml"), tmp_path / "run", progress.PlainDisplay())
        assert not list((tmp_path / "run").rglob("adapter_model.safetensors"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_run_killed_again_and_again_ends_as_one_that_was_not(
    folder: Path, made: Path, killed: Callable[..., None]
) -> None:
    other = folder / "killed"
    sights = (
        "tasks/mood/data/train.jsonl",
        "tasks/numbers/adapter",
        "joint/adapter",
        "unsealed/two-f16.tin",
        "adapted/two-f16.tin",
        "tasks/mood/eval/adapter_q8_0.jsonl",
        "two-f16.tin",
    )
    killed(folder / "two.toml", other, sights)
    for name in ("two-q8_0.tin", "two-f16.tin", "tasks/mood/adapter/adapter_model.safetensors"):
        assert files.sha256_file(other / name) == files.sha256_file(made / name), name
    for ended in (other, made):
        assert not [path for path in ended.rglob("*") if path.suffix in (".tmp", ".sealing")]
