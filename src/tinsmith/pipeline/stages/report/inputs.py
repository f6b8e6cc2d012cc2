"""What the report stage reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinsmith.pipeline.prepared import Prepared


@dataclass(frozen=True)
class Inputs:
    """stages: the record of each in run.json; seconds: of each; answers: the folder of the systems' answers;
    machine, versions: of the run."""

    data: Prepared
    stages: Mapping[str, Mapping[str, Any]]
    seconds: Mapping[str, float]
    answers: Path
    machine: Mapping[str, Any]
    versions: Mapping[str, str]

    def facts(self, stage: str) -> Any:
        return self.stages[stage]["facts"]
