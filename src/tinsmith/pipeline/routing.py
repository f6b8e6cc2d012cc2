"""Off-topic prompts, for fitting and measuring the router of several tasks."""

from __future__ import annotations

from pathlib import Path

from tinsmith.errors import DataError
from tinsmith.pipeline.recipe.values import Recipe
from tinsmith.system import reading

COPIES = {"off_topic": "data/off_topic.txt", "test": "data/off_topic_test.txt"}  # by the key of [router]
OFF_TOPIC, NONE = "off topic", "none"  # as a task and as the router's choice


def stated(recipe: Recipe) -> dict[str, Path]:
    """The recipe's files of prompts off topic, by the key of [router]."""
    return recipe.paths(recipe.router, COPIES)


def prompts(recipe: Recipe, key: str, path: Path) -> list[str]:
    """The prompts in a file. Raises DataError for too few."""
    from tinsmith.train.adapters.router import LEAST

    found = [line.strip() for line in reading.read_text(path, DataError).splitlines() if line.strip()]
    least = 1 if key == "test" else LEAST
    if len(found) < least:
        raise DataError(
            f"{recipe.path}: [router] {key}: {path} has {len(found)} of the {least} prompts that are "
            "needed; give more, one a line"
        )
    return found
