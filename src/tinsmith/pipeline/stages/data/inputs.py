"""What the data stage reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tinsmith.pipeline.prepared import Prepared
from tinsmith.pipeline.recipe.values import Recipe


@dataclass(frozen=True)
class Inputs:
    """recipe: names every file that is read; halves: SHA-256 of a GGUF base and its vision half, by their names
    in the run; keeps_unaugmented: an earlier version trained this run on the examples alone."""

    recipe: Recipe
    halves: Mapping[str, str]
    keeps_unaugmented: bool


@dataclass(frozen=True)
class TasksInputs:
    """halves: as of Inputs; forbidden: test outputs of all tasks that their constraints forbid."""

    recipe: Recipe
    halves: Mapping[str, str]
    tasks: Mapping[str, Prepared]
    forbidden: int
