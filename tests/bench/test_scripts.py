"""The scripts under benchmarks/ run and print what they promise."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.models.tiny_models import tiny_spec
from tests.models.transformers_models import CHATML
from tinsmith import models
from tinsmith.compiler import build_tin
from tinsmith.data.readers import Example, read_jsonl
from tinsmith.models import family
from tinsmith.pipeline import constraint as constraints
from tinsmith.pipeline.recipe.tables import Constraint
from tinsmith.train.beginning import scratch
from tinsmith.train.options import ScratchOptions

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def printed(script: str, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, BENCHMARKS / script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return document


@pytest.mark.slow
def test_start_times_a_c_program(tin: Path) -> None:
    document = printed("start.py", str(tin), "--tokens", "8", "--repeat", "3", "--isa", "scalar")
    assert (document["threads"], document["tokens"], document["bytes"]) == (2, 8, tin.stat().st_size)
    assert 0 < document["start_ms_least"] <= document["start_ms"]


@pytest.mark.slow
def test_imports_says_what_the_wheel_costs() -> None:
    document = printed("imports.py", "--repeat", "1")
    # 2.7 MB on 1 December 2026, a quarter of it C sources, which builds for other devices take. With a tenth to
    # grow: the bound is to find a file that does not belong, or an extension with its debug information.
    assert document["wheel_bytes"] < 3_000_000
    assert {"bare_ms", "runtime_ms", "load_ms", "help_ms", "verb_help_ms", "complete_verb_ms"} <= set(document)


@pytest.mark.slow
def test_constraints_measures_masks_and_compiling(tmp_path: Path) -> None:
    models.save_gguf(tiny_spec(family.by_name("llama")), tmp_path / "tiny.gguf")
    properties = {"count": {"type": "integer"}, "word": {"type": "string"}}
    function = {"name": "f", "parameters": {"type": "dict", "properties": properties, "required": ["count"]}}
    with zipfile.ZipFile(tmp_path / "bfcl.whl", "w") as wheel:
        for category in ("simple_python", "multiple"):
            line = json.dumps({"function": [function]}) + "\n"
            wheel.writestr(f"bfcl_eval/data/BFCL_v4_{category}.json", line)
    vocabulary = f"tiny={tmp_path / 'tiny.gguf'}"
    document = printed("constraints.py", str(tmp_path / "bfcl.whl"), vocabulary, "--peers", "", "--repeat", "2")
    assert document["schemas"] == 1
    tiny = document["vocabularies"]["tiny"]
    assert tiny["schemas_refused"] == tiny["walks_ended_early"] == {"tinsmith": 0}
    masks = tiny["mask_us"]["tinsmith"]
    assert masks["json"]["masks"] + masks["random"]["masks"] == masks["all"]["masks"] > 0
    assert 0 <= masks["all"]["median"] <= masks["all"]["p99"] <= masks["all"]["max"]
    assert 0 < tiny["compile_ms"]["create"]["median"] < tiny["compile_ms"]["tinsmith"]["median"]


def test_bfcl_writes_data_of_which_training_sees_no_held_function(tmp_path: Path) -> None:
    names = [f"f{n}" for n in range(40)]
    parameters = {"type": "dict", "properties": {"b": {"type": "integer"}, "a": {"type": "string"}}}
    functions = [
        {"name": name, "description": "d", "parameters": {**parameters, "required": ["b"]}} for name in names
    ]
    question = [[{"role": "user", "content": "how?"}]]
    with zipfile.ZipFile(tmp_path / "bfcl.whl", "w") as wheel:
        for category in ("simple_python", "multiple"):
            shown = 2 if category == "multiple" else 1
            asked = [
                {"id": name, "question": question, "function": (functions + functions)[n : n + shown]}
                for n, name in enumerate(names)
            ]
            truth = [{"id": name, "ground_truth": [{name: {"a": ["", "x"], "b": [3, 4]}}]} for name in names]
            for place, rows in (("", asked), ("possible_answer/", truth)):
                text = "".join(json.dumps(row) + "\n" for row in rows)
                wheel.writestr(f"bfcl_eval/data/{place}BFCL_v4_{category}.json", text)
    counts = printed("bfcl.py", str(tmp_path / "bfcl.whl"), "--write", str(tmp_path / "data"))
    seen: dict[str, set[str]] = {}
    for split, count in counts.items():
        found = read_jsonl(tmp_path / "data" / f"{split}.jsonl")
        assert len(found) == count > 0
        calls = [json.loads(example.output) for example in found]
        assert all(call["arguments"] == {"b": 3} for call in calls)
        told = " ".join(example.turns[0].content for example in found)
        seen[split] = set(re.findall(r'"name": "(f\d+)"', told))
        assert {call["name"] for call in calls} <= seen[split]
    tested = {json.loads(row.output)["name"] for row in read_jsonl(tmp_path / "data" / "test.jsonl")}
    assert not (seen["train"] | seen["validation"]) & tested


@pytest.mark.slow
def test_structured_compares_free_and_constrained(tmp_path: Path) -> None:
    spec = replace(tiny_spec(family.by_name("llama")), chat_template=CHATML)
    schema = {"type": "object", "properties": {"temperature": {"enum": [17, 18]}}, "required": ["temperature"]}
    (tmp_path / "s.json").write_text(json.dumps({**schema, "additionalProperties": False}))
    sealed = constraints.seal(Constraint(schema="s.json"), tmp_path)
    facts = {"constraint": sealed.facts}
    build_tin(spec, tmp_path / "tiny.tin", entries=sealed.entries, manifest=facts)
    row = {"input": "warm", "output": '{"temperature":17}'}
    (tmp_path / "test.jsonl").write_text(json.dumps(row) + "\n")
    words = ["--task", "extract", "--max-tokens", "40", "--lookups", "0"]
    document = printed("structured.py", str(tmp_path / "tiny.tin"), str(tmp_path / "test.jsonl"), *words)[
        "lookup_0"
    ]
    assert document["constrained"]["valid"] == 1
    assert document["constrained"]["evaluations"] < document["constrained"]["tokens"]
    assert document["evaluations_percent"] > 0


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """Of a tiny, untrained base and a task that it can learn."""
    rows = [{"input": f"turn lamp {n} on", "output": f"lamp {n % 7}"} for n in range(40)]
    shape = ScratchOptions(vocabulary=320, layers=2, hidden=32)
    examples = [Example(row["input"], row["output"]) for row in rows]
    models.save_hf(scratch.start(shape, examples, [], "", 0, "tiny"), tmp_path / "tiny")
    for split, part in {"train": rows[:32], "validation": rows[32:], "test": rows[32:]}.items():
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    files = "".join(f'{split} = "{split}.jsonl"\n' for split in ("train", "validation", "test"))
    (tmp_path / "recipe.toml").write_text(
        f'[base]\nmodel = "tiny"\n[data]\n{files}task = "chat"\n'
        "[train]\nepochs = 2\nlearning_rate = 3e-3\nbatch_tokens = 64\n"
    )
    return tmp_path / "recipe.toml"


@pytest.mark.slow
def test_training_holds_every_contestant_to_the_same_loss(recipe: Path) -> None:
    words = [str(recipe), "--work", str(recipe.parent / "out"), "--rates", "1e-3,1e5"]
    words += ["--types", "bfloat16,float32", "--threads", "1", "--validations", "2"]
    document = printed("training.py", *words)
    runs = document["runs"]
    assert set(runs) == {"tinsmith", "peft 0.001", "peft 100000", "unsloth"}
    fastest = max(document["types"], key=document["types"].get)
    assert {run["settings"][1]["type"] for name, run in runs.items() if name != "tinsmith"} == {fastest}
    losses = {name: [loss for *_, loss in run["curve"]] for name, run in runs.items()}
    assert {name: loss[0] for name, loss in losses.items()} == pytest.approx(
        dict.fromkeys(runs, losses["tinsmith"][0]), rel=2e-3
    )
    assert all(len(loss) >= 5 for loss in losses.values())
    assert all(losses[name][-1] < losses[name][0] for name in ("tinsmith", "peft 0.001"))
    # Each reads every example once an epoch, tinsmith the prompts' common beginning as if it were each's own.
    assert len({run["tokens"] for run in runs.values()}) == 1
    assert document["best_peer"] == "peft 0.001"
    assert document["share"] == runs["peft 0.001"]["share"]
    assert all(run["seconds"] > 0 and run["peak_bytes"] > 1e8 for run in runs.values())
    # What was done is not done again, and counts only for the settings that it was done with.
    (recipe.parent / "out" / "unsloth.json").unlink()
    again = printed("training.py", *words)["runs"]
    assert again["tinsmith"] == runs["tinsmith"]
    assert again["unsloth"]["curve"] != runs["unsloth"]["curve"]


@pytest.mark.slow
def test_a_sweep_goes_on_where_it_was_stopped(recipe: Path) -> None:
    out = recipe.parent / "sweep"
    words = [str(recipe), "--work", str(out), "--bases", "tiny", "--rates", "4e-3,8e-3", "--threads", "1"]
    assert printed("sweep.py", *words, "--budget-minutes", "0")["done"] == 0
    whole = printed("sweep.py", *words)
    # At each rate the recipe's own values, which are none of the others, and one other value at a time.
    assert (whole["done"], whole["left"]) == (2 * (1 + 2 + 3 + 2), 0)
    lines = (out / "points-all.jsonl").read_text().splitlines(keepends=True)
    rows = [json.loads(line) for line in lines]
    keys = ("rate", "rank", "batch_tokens", "epochs")
    assert len({tuple(row[key] for key in keys) for row in rows}) == len(rows)
    assert len({row["loss"] for row in rows}) == len(rows)
    # A kill while a line was written costs that point.
    (out / "points-all.jsonl").write_text("".join(lines)[:-20])
    cut = printed("sweep.py", *words, "--fit")
    assert (cut["done"], cut["left"]) == (whole["done"] - 1, 1)
    assert printed("sweep.py", *words)["left"] == 0
    again = [json.loads(line) for line in (out / "points-all.jsonl").read_text().splitlines()]
    assert [{**row, "seconds": 0} for row in again] == [{**row, "seconds": 0} for row in rows]


def test_a_fit_finds_the_rule_that_made_the_points(tmp_path: Path, recipe: Path) -> None:
    def loss(row: dict[str, Any]) -> float:
        """Lowest at 1e-3 for 135 million parameters, falling with their root; and at rank 64 lower."""
        best = 1e-3 * (135e6 / row["parameters"]) ** 0.5
        return 1 + 0.1 * math.log(row["rate"] / best) ** 2 - (0.2 if row["rank"] == 64 else 0)

    rows = [
        {"base": base, "parameters": parameters, "rank": rank, "epochs": 2, "seed": seed}
        | {"batch_tokens": 64, "rate": rate * (135e6 / parameters) ** 0.5, "exact": 0.5}
        for base, parameters in (("a", 2e6), ("b", 9e6), ("c", 135e6))
        for rank in (16, 64)
        for seed in (0, 1)
        for rate in (2e-4, 6e-4, 1.3e-3, 5e-3)
    ]
    for row in rows:
        row |= {"loss": loss(row), "seconds": 9 if row["rank"] == 16 else 18}
    rows.append({**rows[0], "rate": 1, "loss": None, "exact": None, "seconds": None})
    (tmp_path / "points-all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    document = printed("sweep.py", str(recipe), "--work", str(tmp_path), "--fit")
    rule = document["learning_rate"]["rule"]
    assert rule["at_135m"] == pytest.approx(1e-3, rel=0.01)
    assert rule["exponent"] == pytest.approx(0.5, abs=0.01)
    assert rule["rate"] == "0.001 * (135e6 / parameters) ** 0.50"
    assert not any(base["at_edge"] for base in document["learning_rate"]["bases"].values())
    assert document["rank"]["64"]["loss_ratio"] < 0.85 < document["rank"]["16"]["loss_ratio"] == 1
    assert document["rank"]["64"]["seconds_ratio"] == 2
    assert document["rank"]["4"]["loss_ratio"] is None
