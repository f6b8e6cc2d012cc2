"""What the seal stage reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinsmith.pipeline.prepared import Prepared


@dataclass(frozen=True)
class Inputs:
    """tins: by the preset of their weights; ggufs: the digest of each one's GGUF; built: digests of all built
    files, by name; systems: what was measured, by system."""

    data: Prepared
    tins: Mapping[str, Path]
    ggufs: Mapping[str, str]
    built: Mapping[str, str]
    systems: Mapping[str, dict[str, Any]]
