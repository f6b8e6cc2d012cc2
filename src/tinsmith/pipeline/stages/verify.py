"""The verify stage: loads every built file with the runtime that ships, and checks each tin against its
manifest and its GGUF.

The same weights must give the same logits bit for bit, whichever file they come from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tinsmith.pipeline.prepared import Prepared
from tinsmith.pipeline.stage import Made, Reporter
from tinsmith.quant import shipping
from tinsmith.system import files
from tinsmith.tasks import Message

CHECKS = "verify.json"
CHECK_PROMPTS = 8


@dataclass(frozen=True)
class Inputs:
    """pairs: a tin and a GGUF by the preset of their weights; digests: of all built files, by name."""

    data: Prepared
    pairs: Mapping[str, tuple[Path, Path]]
    digests: Mapping[str, str]


@dataclass(frozen=True)
class Verified:
    """checks: by the preset of the files' weights."""

    checks: dict[str, dict[str, Any]]


def digests(inputs: Inputs) -> dict[str, Any]:
    return {"built": dict(inputs.digests), "prompts": inputs.data.split_digest("validation")}


def make(inputs: Inputs, folder: Path, reporter: Reporter) -> Made[Verified]:
    prompts = check_prompts(inputs.data)
    checks: dict[str, dict[str, Any]] = {}
    with reporter.step("verify", len(inputs.pairs)):
        for count, (weights, (tin, gguf)) in enumerate(inputs.pairs.items()):
            reporter.progress(count, weights)
            checks[weights] = shipping.verify_pair(tin, gguf, prompts)
    files.write_text(folder / CHECKS, json.dumps(checks, indent=2) + "\n")
    return Made([folder / CHECKS], Verified(checks))


def check_prompts(data: Prepared) -> list[list[Message]]:
    """The first validation examples as conversations, without images: a language model's GGUF takes none."""
    rows = [replace(row, images=()) for row in data.examples("validation")[:CHECK_PROMPTS]]
    return [[*data.conversation(row), {"role": "assistant", "content": row.output}] for row in rows]
