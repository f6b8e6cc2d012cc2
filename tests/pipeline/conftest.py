from __future__ import annotations

import copy
import math
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tinsmith import tasks
from tinsmith.data.readers import Example
from tinsmith.evaluate import metrics
from tinsmith.evaluate.answers import Answer
from tinsmith.pipeline.stages.report import findings

COMMAND = "import sys; from tinsmith import cli; sys.exit(cli.main(sys.argv[1:]))"
CALL = tasks.by_name("call")
PARTS = ("seen", "unseen_both", "unseen_combination", "unseen_template", "unseen_value")
NAMES = ("HassLightSet", "HassTurnOn", "HassTurnOff", "HassClimateSetTemperature", "HassMediaSearchAndPlay")


def test_set(count: int) -> list[Example]:
    """Commands of an invented home."""
    rng = random.Random(0)
    examples = []
    for i in range(count):
        name = rng.choice(NAMES)
        output = f'{{"name": "{name}", "arguments": {{"area": "room {i}", "level": {rng.randrange(100)}}}}}'
        examples.append(Example(f"please do number {i} <now> & here", output, part=PARTS[i % len(PARTS)]))
    return examples


def answers(examples: list[Example], right: float) -> list[Answer]:
    """Answers of which about `right` are right, the others wrong in every way there is."""
    rng = random.Random(1)
    result = []
    for i, example in enumerate(examples):
        text = example.output
        if rng.random() >= right:
            wrong = [
                text[:-1],
                text.replace("room", "attic"),
                text.replace("Hass", "Has"),
                "I can't do that, Dave.",
            ]
            text = rng.choice([*wrong, example.output.replace(example.output.split('"')[3], rng.choice(NAMES))])
        result.append(Answer(i, text, [1] * 24, 31, 0.08, "stop"))
    return result


@pytest.fixture
def killed() -> Callable[..., None]:
    """Makes a recipe into a folder, in processes that are killed each when one of the files named is there, and
    then to its end."""

    def run(recipe: Path, out: Path, sights: Sequence[str], verb: str = "make") -> None:
        command = [sys.executable, "-c", COMMAND, verb, str(recipe), "--out", str(out)]
        for sight in sights:
            process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            while not (out / sight).exists():
                assert process.poll() is None
                time.sleep(0.005)
            process.kill()
            process.wait()
        assert subprocess.run(command, capture_output=True, check=False).returncode == 0

    return run


@pytest.fixture
def document() -> dict[str, Any]:
    """A report.json as a run of 500 test items would write it."""
    return copy.deepcopy(composed())


@cache
def composed() -> dict[str, Any]:
    examples = test_set(500)
    shares = {
        "zero_shot": 0.0,
        "few_shot": 0.01,
        "retrieval": 0.24,
        "nearest": 0.31,
        "tuned": 0.75,
        "shipped_f16": 0.75,
        "shipped_q8_0": 0.74,
        "shipped_q8_0_constrained": 0.8,
        "shipped_q4_0": 0.71,
    }
    systems: dict[str, Any] = {}
    for name, share in shares.items():
        grades = [
            CALL.grade(a.text, e.output, e.accept, frozenset())
            for a, e in zip(answers(examples, share), examples, strict=True)
        ]
        systems[name] = metrics.summarize(grades, [e.part for e in examples]) | {
            "ms_per_item": None if name == "nearest" else 82.4,
            "evaluations": None if name == "nearest" else 20.5,
            "prompt_tokens": 31.2,
            "generated_tokens": 24.0,
            "peak_memory": 231_000_000,
            "timed_items": 500,
            "bytes": 145_000_000,
        }
    changed = findings.changes(
        CALL,
        frozenset(),
        examples,
        *(answers(examples, shares[name]) for name in ("shipped_q8_0", "shipped_q8_0_constrained")),
    )
    shown = answers(examples, shares["shipped_q8_0"])
    grades = [CALL.grade(a.text, e.output, e.accept, frozenset()) for a, e in zip(shown, examples, strict=True)]
    curve = [{"step": i, "loss": 2.5 * math.exp(-i / 40) + 0.05 + 0.02 * (i % 7)} for i in range(1, 190)]
    validations = [
        {"epoch": e, "step": 63 * e, "loss": 0.5 / e, "exact": 0.2 * e, "best": True} for e in (1, 2, 3)
    ]
    digest = "0123456789abcdef" * 4
    return {
        "name": "home",
        "task": "call",
        "headline": "shipped_q8_0",
        "front": [
            {
                "bytes": 70_000_000 + 10_000_000 * k,
                "bits": 4.1 + 0.6 * k,
                "sum_of_losses": 0.2 / 3**k,
                "kl": 0.021 if k == 2 else None,
                "formats": {"Q4_0": 200 - 20 * k, "Q8_0": 10 + 20 * k},
                "chosen": k == 2,
            }
            for k in range(6)
        ],
        "systems": systems,
        "test": {
            "items": 500,
            "parts": dict.fromkeys(PARTS, 100),
            "baseline_items": {"zero_shot": 100, "few_shot": 100, "retrieval": 100, "nearest": 500},
            "inputs_in_train": 0,
            "shots": 5,
            "max_tokens": 96,
            "resamples": 2000,
        },
        "base": {
            "name": "smollm2-135m-instruct",
            "sha256": digest,
            "bytes": 98_000_000,
            "family": "llama",
            "license": "apache-2.0",
        },
        "data": {
            "learned": "train",
            "counts": {"train": 1000, "validation": 200, "test": 500},
            "divided": None,
            "sha256": dict.fromkeys(("train", "validation", "test"), digest),
        },
        "augmentation": {
            "rows": 1500,
            "variants": 2,
            "slots": {"HassTurnOn.area": 300, "HassLightSet.area": 210},
            "sources": {"new words": 700, "seen": 800},
            "shared": {"validation": 3, "test": 5},
            "images": {},
            "examples": [
                {
                    "line": 17,
                    "from": {"input": "light in the <attic> on", "output": '{"area": "<attic>"}'},
                    "made": {"input": "light in the den on", "output": '{"area": "den"}'},
                    "sources": ["seen"],
                }
            ],
        },
        "recipe": {"file": "recipe.toml", "sha256": digest},
        "command": "tinsmith make recipe.toml",
        "train": {
            "share": "exact",
            "unit": "%",
            "learning_rate": 2.5e-3,
            "note": "learning rate 0.0025, chosen for 135 million parameters",
            "steps": 189,
            "tokens": 190_000,
            "seconds": 320.0,
            "curve": curve,
            "validations": validations,
        },
        "files": {
            f"home-{weights}.{kind}": {"sha256": digest, "bytes": 145_000_000}
            for weights in ("f16", "q8_0", "q4_0")
            for kind in ("gguf", "tin")
        },
        "verify": {
            weights: {"tin": "t", "gguf": "g", "prompts": 8, "logits_sha256": digest}
            for weights in ("F16", "Q8_0", "Q4_0")
        },
        "seeds": {"train": 0, "eval": 0},
        "seconds": {"data": 4.2, "baselines": 88.1, "train": 321.9, "merge": 2.5, "build": 20.1},
        "machine": {
            "system": "Linux",
            "architecture": "x86_64",
            "cpu": "AMD EPYC",
            "cores": 2,
            "memory": 25_000_000_000,
        },
        "versions": {"tinsmith": "0.1.0", "python": "3.11.2", "torch": "2.13.0"},
        "confusion": findings.confusion(CALL, grades, examples),
        "errors": findings.worst(CALL, grades, examples, shown),
        "constraint": {
            "source": "tools",
            "file": "tools.json",
            "states": 4321,
            "test_outputs_forbidden": 0,
            "changes": {"shipped_q8_0": changed},
        },
    }
