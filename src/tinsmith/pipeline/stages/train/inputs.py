"""The inputs of the train stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tinsmith.pipeline.prepared import Prepared


@dataclass(frozen=True)
class Inputs:
    """decides: all that decides the result, as run.json keeps it; log: the kind of files that training writes
    its curves to, None for none."""

    data: Prepared
    decides: Mapping[str, Any]
    log: str | None = None
