"""The verify stage: every built file is loaded with the runtime that ships, each tin held to its manifest and
its GGUF.

The same weights must give the same logits bit for bit, whichever file they come from.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tinsmith.pipeline.run import Made, Record, Run
from tinsmith.pipeline.stages import build
from tinsmith.pipeline.stages.build import Built
from tinsmith.pipeline.stages.data import make as data
from tinsmith.pipeline.stages.data.make import Data
from tinsmith.quant import shipping
from tinsmith.system import files

if TYPE_CHECKING:
    from tinsmith.tasks import Message

CHECKS = "verify.json"
CHECK_PROMPTS = 8


@dataclass(frozen=True)
class Needs:
    data: Record[Data]
    build: Record[Built]


@dataclass(frozen=True)
class Verified:
    """checks: by the preset of the files' weights."""

    checks: dict[str, dict[str, Any]]


def inputs(run: Run, needs: Needs) -> dict[str, Any]:
    return {
        "built": build.digests(needs.build),
        "prompts": needs.data.digests[data.split_name("validation")],
    }


def make(run: Run, needs: Needs) -> Made[Verified]:
    prompts = check_prompts(run)
    checks: dict[str, dict[str, Any]] = {}
    tins = build.unsealed(run, needs.build)
    with run.display.bar("verify", len(tins)) as bar:
        for count, (weights, tin) in enumerate(tins.items()):
            bar.update(count, weights)
            gguf = run.folder / needs.build.facts.ggufs[weights]
            checks[weights] = shipping.verify_pair(tin, gguf, prompts)
    path = run.folder / CHECKS
    files.write_text(path, json.dumps(checks, indent=2) + "\n")
    return Made([path], Verified(checks))


def check_prompts(run: Run) -> list[list[Message]]:
    """The first validation examples as the model sees them, with their answers; without their pictures, which
    the GGUF of a language model alone can't see."""
    return [
        [*data.conversation(run, blind), {"role": "assistant", "content": example.output}]
        for example in data.examples(run, "validation")[:CHECK_PROMPTS]
        for blind in [replace(example, images=())]
    ]
