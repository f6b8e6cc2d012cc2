"""The scripts under benchmarks/ run and print what they promise."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_models import tiny_spec

from tinsmith import models
from tinsmith.compiler import build_tin
from tinsmith.models import family
from tinsmith.pipeline import constraint as constraints
from tinsmith.pipeline.recipe import Constraint

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
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
    # Half of it are the C sources, which builds for other devices take.
    assert document["wheel_bytes"] < 1_300_000
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
