"""The inputs of the report stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinsmith.pipeline.prepared import Prepared


@dataclass(frozen=True)
class Records:
    """stages: the record of each in run.json; machine, versions: of the run."""

    data: Prepared
    stages: Mapping[str, Mapping[str, Any]]
    machine: Mapping[str, Any]
    versions: Mapping[str, str]

    def facts(self, stage: str) -> Any:
        return self.stages[stage]["facts"]

    def base_facts(self) -> dict[str, Any]:
        return {key: getattr(self.data.base, key) for key in ("name", "sha256", "bytes", "family", "license")}

    def files(self) -> dict[str, Any]:
        """The GGUFs and the sealed tins, by file name."""
        built = self.facts("build")
        made = {**self.stages["build"]["outputs"], **self.stages["seal"]["outputs"]}
        names = [name for weights, tin in built["tins"].items() for name in (built["ggufs"][weights], tin)]
        return {name: {key: made[name][key] for key in ("sha256", "bytes")} for name in names}


@dataclass(frozen=True)
class Inputs(Records):
    """seconds: of each stage; answers: the folder of the systems' answers."""

    seconds: Mapping[str, float]
    answers: Path


@dataclass(frozen=True)
class Task:
    """folder: of the task's own run, whose report, where it is compared, has its training and worst answers;
    train: facts of its training."""

    data: Prepared
    folder: str
    is_compared: bool
    train: Mapping[str, Any]


@dataclass(frozen=True)
class TasksInputs(Records):
    tasks: Mapping[str, Task]
    is_compared: bool


def digests(inputs: Records) -> dict[str, Any]:
    stages = {name: [one["inputs_sha256"], one["outputs"]] for name, one in inputs.stages.items()}
    return {"recipe": inputs.data.recipe.sha256, "stages": stages}
