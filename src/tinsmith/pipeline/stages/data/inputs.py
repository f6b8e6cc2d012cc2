"""The inputs of the data stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tinsmith.pipeline.prepared import Prepared
from tinsmith.pipeline.recipe.values import Recipe


@dataclass(frozen=True)
class Inputs:
    """recipe: names every file that is read; base_files: SHA-256 of a GGUF base and its vision model, by their
    names in the run."""

    recipe: Recipe
    base_files: Mapping[str, str]


@dataclass(frozen=True)
class TasksInputs:
    """base_files: as of Inputs; forbidden: test outputs of all tasks that their constraints forbid."""

    recipe: Recipe
    base_files: Mapping[str, str]
    tasks: Mapping[str, Prepared]
    forbidden: int
