"""The inputs of the adapters stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tinsmith.pipeline.prepared import Learned, Prepared


@dataclass(frozen=True)
class Inputs:
    """tins: the built base by the preset of its weights; digests: of all built files, by name."""

    data: Prepared
    tasks: Mapping[str, Learned]
    tins: Mapping[str, Path]
    digests: Mapping[str, str]

    @property
    def examples(self) -> int:
        """Of each task's splits, what the router is fitted on at most."""
        assert self.data.recipe.router  # of a recipe with tasks
        return self.data.recipe.router.examples
