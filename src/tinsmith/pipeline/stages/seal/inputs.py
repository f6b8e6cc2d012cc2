"""The inputs of the seal stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinsmith.pipeline.prepared import Learned, Prepared


@dataclass(frozen=True)
class Inputs:
    """tins: by the preset of their weights; ggufs: the digest of each one's GGUF; built: digests of all built
    files, by name; systems: what was measured, by system."""

    data: Prepared
    tins: Mapping[str, Path]
    ggufs: Mapping[str, str]
    built: Mapping[str, str]
    systems: Mapping[str, dict[str, Any]]


@dataclass(frozen=True)
class TasksInputs:
    """tins: the built base by the preset of its weights; adapted: with its adapters; ggufs: the digest of each
    one's GGUF; digests: of the adapted files; systems: what was measured, by task and system; router: by
    weights."""

    data: Prepared
    tasks: Mapping[str, Learned]
    tins: Mapping[str, Path]
    adapted: Mapping[str, Path]
    ggufs: Mapping[str, str]
    digests: Mapping[str, str]
    systems: Mapping[str, Mapping[str, dict[str, Any]]]
    router: Mapping[str, dict[str, Any]]
