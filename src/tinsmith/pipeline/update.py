"""A recipe's [update]: an adapter whose training continues, and files of new examples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinsmith.chat.chat_template import literal
from tinsmith.errors import InputError
from tinsmith.evaluate import metrics
from tinsmith.pipeline.recipe.values import Recipe
from tinsmith.spec import Spec
from tinsmith.system import files
from tinsmith.train.adapters import peft_folder

FILES = ("data", "validation", "test")  # the keys of [update] that are files of examples


def folder(recipe: Recipe) -> Path | None:
    """The adapter whose training continues, None for a new one. Raises InputError where it is missing."""
    if recipe.update is None:
        return None
    path = recipe.resolve(recipe.update.adapter)
    if not (path / peft_folder.CONFIG).exists() or not (path / peft_folder.WEIGHTS).exists():
        raise InputError(
            f"{path}: holds no {peft_folder.CONFIG} and {peft_folder.WEIGHTS}; give an adapter's folder, such "
            "as the adapter/ of a run"
        )
    return path


def sources(recipe: Recipe) -> dict[str, Path]:
    """The files that [update] names, by its key."""
    return recipe.paths(recipe.update, FILES) if recipe.update else {}


def check(recipe: Recipe, spec: Spec, tools: Sequence[Any] | None) -> None:
    """Raises InputError or FormatError for an adapter of another base or chat template. spec: with the template
    of training; tools: in that template."""
    from tinsmith.train.beginning import start

    path = folder(recipe)
    if path:
        start.check(path, spec, None if tools is None else literal(list(tools)))


def flags(recipe: Recipe) -> list[str]:
    """The command line's flags for [update], with the names of files alone."""
    if recipe.update is None:
        return []
    named = {"--from": recipe.update.adapter, "--data": recipe.update.data}
    words = [word for flag, path in named.items() if path for word in (flag, Path(path).name)]
    return [*words, "--retrain", recipe.update.retrain]


def check_folder(recipe: Recipe, own: Path) -> None:
    """Raises InputError where training would replace the adapter that it starts from. own: the run's folder."""
    path = folder(recipe)
    if path and files.is_inside(path, own):
        raise InputError(
            f"{path}: lies in {own}, where training would replace it; give another folder with --out"
        )


def bounds(exact: float, items: int) -> tuple[float, float]:
    """The 95 % interval of a share of so many answers."""
    return metrics.interval(round(exact * items), items)
