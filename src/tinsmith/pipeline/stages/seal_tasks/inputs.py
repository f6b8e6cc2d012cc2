"""What the seal stage of several tasks reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinsmith.pipeline.prepared import Learned, Prepared


@dataclass(frozen=True)
class Inputs:
    """tins: the built base by the preset of its weights; skilled: with its adapters; ggufs: the digest of each
    one's GGUF; digests: of the skilled files; systems: what was measured, by task and system; router: by
    weights."""

    data: Prepared
    tasks: Mapping[str, Learned]
    tins: Mapping[str, Path]
    skilled: Mapping[str, Path]
    ggufs: Mapping[str, str]
    digests: Mapping[str, str]
    systems: Mapping[str, Mapping[str, dict[str, Any]]]
    router: Mapping[str, dict[str, Any]]
