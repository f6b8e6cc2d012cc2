"""The outputs that the recipe's preferences teach."""

from __future__ import annotations

from pathlib import Path

from tinsmith import tasks
from tinsmith.data.readers import Example
from tinsmith.errors import DataError
from tinsmith.pipeline.examples import beside
from tinsmith.pipeline.prepared import read_preferences
from tinsmith.pipeline.recipe.values import Recipe


def wanted_outputs(recipe: Recipe) -> dict[Path, list[Example]]:
    """By file, as examples of them. Raises DataError for a file that is none of preferences, and for an output
    that the task does not have."""
    kind = tasks.by_name(recipe.data.task)
    outputs: dict[Path, list[Example]] = {}
    for key, path in beside(recipe).items():
        outputs[path] = []
        for row in read_preferences(key, path):
            if row.wanted is None:
                continue
            if not kind.is_valid(kind.parse(row.wanted), kind.labels([row.wanted])):
                raise DataError(f"{row.where}: not a valid output of the task {kind.name}: {row.wanted}")
            outputs[path].append(Example(row.input, row.wanted))
    return outputs
