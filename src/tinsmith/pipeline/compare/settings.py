"""How much a comparison asks, and the recipes of what it trains and builds."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinsmith import tasks
from tinsmith.data.splits import SPLITS
from tinsmith.errors import InputError
from tinsmith.pipeline.recipe.tables import LABELS, NO_QAT, SMALL, Base, Train
from tinsmith.pipeline.recipe.values import Recipe
from tinsmith.train import methods


@dataclass(frozen=True)
class Settings:
    """items: test examples that each system answers, at most; examples: to train on, at most, and validation:
    to validate on; 0 for all. sizes: of the smaller trainings; epochs: at most, None for the recipe's."""

    items: int
    examples: int
    validation: int
    sizes: tuple[int, ...]
    epochs: int | None


FORMAT = "Q8_0"  # of all that runs here
LARGE = Settings(items=300, examples=0, validation=0, sizes=(100, 300, 1000), epochs=None)
LITTLE = Settings(items=100, examples=300, validation=60, sizes=(75, 150), epochs=4)


def settings(recipe: Recipe, small: bool) -> Settings:
    """small: as the command line has it."""
    return LITTLE if small or recipe.compare.size == SMALL else LARGE


def check(recipe: Recipe) -> None:
    """Raises InputError for a recipe that there is nothing to compare of."""
    method = methods.by_name(recipe.train.method)
    faults = {
        "compares one task; give the recipe of one, without [[task]]": recipe.tasks,
        "[scratch]: there is no base that could be prompted; state [base]": recipe.base is None,
        "[update]: compare says whether to train at all; leave it out": recipe.update is not None,
        "[data] train: missing; prompts show its examples and retrieval finds them": recipe.data.train is None,
        f'[train] method "{method.name}" trains {method.what}, which no file can be built from; compare '
        "measures what ships": not method.merges,
    }
    for fault, applies in faults.items():
        if applies:
            raise InputError(f"{recipe.path}: {fault}")
    keys(recipe)


def keys(recipe: Recipe) -> dict[str, str | None]:
    """The keys of the endpoints, by name. Raises InputError for one that is not in the environment."""
    found: dict[str, str | None] = {}
    for stated in recipe.compare.endpoint:
        found[stated.name] = os.environ.get(stated.key_env) if stated.key_env else None
        if stated.key_env and not found[stated.name]:
            raise InputError(
                f"{recipe.path}: [[compare.endpoint]] {stated.name}: key_env: {stated.key_env} is not in the "
                "environment; set it to the key"
            )
    return found


def labels(recipe: Recipe) -> dict[str, str]:
    """The bases by a short name, the recipe's own first unless it says which to compare."""
    assert recipe.base  # as check requires
    found: dict[str, str] = {}
    for model in recipe.compare.bases or (recipe.base.model,):
        label = re.sub(r"[^A-Za-z0-9.-]+", "-", re.split(r"[/:]", model.rstrip("/"))[-1]).strip("-.") or "base"
        if label in found:
            raise InputError(f"{recipe.path}: [compare] bases: two are called {label}; give each once")
        found[label] = model
    return found


def of_base(recipe: Recipe, model: str) -> Recipe:
    """The base as it is, in the one format that is compared, with the recipe's data."""
    assert recipe.base
    base = recipe.base if model == recipe.base.model else Base(model, weights=recipe.base.weights)
    data = dataclasses.replace(recipe.data, quote_input=False, augment=False, augment_exclude=None)
    return dataclasses.replace(
        recipe,
        base=base,
        data=data,
        build=dataclasses.replace(recipe.build, formats=(FORMAT,)),
        eval=dataclasses.replace(recipe.eval, baselines=(), max_error=None),
        # How it would be trained says nothing of the base, whose file names its recipe.
        train=Train(method=recipe.train.method, seed=recipe.train.seed, qat=NO_QAT),
    )


def of_copies(recipe: Recipe, splits: dict[str, Path], known: Iterable[str]) -> Recipe:
    """On files in our own shape, by split. known: the labels of all training examples; a part of them may lack
    one that is validated on, and that the constraint would then forbid."""
    unstated = ("shape", "input", "output", "group", "author", "image", "command")
    values: dict[str, Any] = {**dict.fromkeys(unstated), **{split: str(splits[split]) for split in SPLITS}}
    data = dataclasses.replace(recipe.data, limit=0, **values)
    constraint = recipe.constraint
    if constraint.choices == LABELS:
        constraint = dataclasses.replace(constraint, choices=tuple(sorted(known)))
    return dataclasses.replace(recipe, data=data, constraint=constraint)


def of_training(
    recipe: Recipe, model: str, splits: dict[str, Path], known: Iterable[str], chosen: Settings
) -> Recipe:
    """What is trained on these files. known: as of of_copies."""
    train = dataclasses.replace(recipe.train, qat=NO_QAT)
    if chosen.epochs is not None:
        made = tasks.by_name(recipe.data.task).has_values and recipe.data.augment is not False
        passes = recipe.passes(chosen.examples, made)
        train = dataclasses.replace(train, epochs=min(chosen.epochs, passes), seeds=1)
    whole = dataclasses.replace(of_base(recipe, model), data=recipe.data, train=train)
    return of_copies(whole, splits, known)
