"""The files beside the examples that a recipe may name for its method to learn from: texts and preferences."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tinsmith import tasks
from tinsmith.data.preferences import Preference, read_pairs, read_ratings
from tinsmith.data.readers import Example
from tinsmith.errors import DataError
from tinsmith.pipeline.recipe import Recipe
from tinsmith.pipeline.run import Run
from tinsmith.system import files, reading
from tinsmith.train.methods import kto

# The run's own copy of each, in its folder, by the recipe's key.
COPIES = {
    "text": "data/text.txt",
    "preferences": "data/preferences.jsonl",
}


def stated(recipe: Recipe) -> dict[str, Path]:
    """Those that the recipe names, by its key."""
    named = {key: getattr(recipe.data, key) for key in COPIES}
    return {key: recipe.resolve(path) for key, path in named.items() if path}


def copy(run: Run) -> list[Path]:
    """Makes the run's own copies. Raises DataError for a text that says nothing."""
    copies = []
    for key, path in stated(run.recipe).items():
        text = reading.read_text(path, DataError)
        if not text.strip():
            raise DataError(f"{path}: holds no text; write some, or leave [data] {key} out")
        copies.append(run.folder / COPIES[key])
        files.write_text(copies[-1], text)
    return copies


def wanted(recipe: Recipe) -> dict[Path, list[Example]]:
    """By file, the outputs that preferences teach, as examples of them. Raises DataError for a file that is
    none of preferences, and for an output that the task does not have."""
    kind = tasks.by_name(recipe.data.task)
    outputs: dict[Path, list[Example]] = {}
    for key, path in stated(recipe).items():
        outputs[path] = []
        for row in _read(recipe, path) if key == "preferences" else ():
            if row.wanted is None:
                continue
            if not kind.is_valid(kind.parse(row.wanted), kind.labels([row.wanted])):
                raise DataError(f"{row.where}: not a valid output of the task {kind.name}: {row.wanted}")
            outputs[path].append(Example(row.input, row.wanted))
    return outputs


def preferences(run: Run) -> Sequence[Preference]:
    """Those of the run's own copy; none where the recipe names no such file."""
    if not run.recipe.data.preferences:
        return ()
    return _read(run.recipe, run.folder / COPIES["preferences"])


def texts(run: Run) -> list[str]:
    """The plain texts of the run's own copy: what empty lines separate."""
    if not run.recipe.data.text:
        return []
    whole = reading.read_text(run.folder / COPIES["text"], DataError).replace("\r\n", "\n")
    return [text for text in re.split(r"\n(?:[ \t]*\n)+", whole) if text.strip()]


def _read(recipe: Recipe, path: Path) -> Sequence[Preference]:
    """Pairs, or ratings for the method that learns from these."""
    return read_ratings(path) if recipe.train.method == kto.method.name else read_pairs(path)
