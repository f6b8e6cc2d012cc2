"""The inputs of the build stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinsmith.pipeline.prepared import FloatModel, Prepared


@dataclass(frozen=True)
class Origin:
    """What the files of some formats are built from: a float model, and the folder of what was trained."""

    model: FloatModel
    trained: Path
    formats: list[str]


@dataclass(frozen=True)
class Inputs:
    """merged: the float model that was trained first; origins: of all formats; digests: of the merged files and
    the importance that quantization weighs by."""

    data: Prepared
    merged: FloatModel
    origins: Sequence[Origin]
    digests: Mapping[str, Any]


@dataclass(frozen=True)
class BaseInputs:
    """learned: the data of each task, whose adapters go beside the base."""

    data: Prepared
    learned: Sequence[Prepared]
