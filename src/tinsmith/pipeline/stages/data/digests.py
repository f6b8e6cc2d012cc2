"""The inputs of the data stage, and the parts of them that decide its outputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tinsmith.evaluate.metrics import SEED
from tinsmith.pipeline import constraint, routing, update
from tinsmith.pipeline.examples import beside, columns, digest, division_before, images_digest, named_paths
from tinsmith.pipeline.prepared import Prepared
from tinsmith.pipeline.recipe.values import Recipe
from tinsmith.pipeline.stages.data import augmentation
from tinsmith.system import files
from tinsmith.train.adapters import peft_folder


@dataclass(frozen=True)
class Inputs:
    """recipe: names every file that is read; base_files: size and time of a GGUF base and of its vision model,
    by their names in the run."""

    recipe: Recipe
    base_files: Mapping[str, list[int]]


@dataclass(frozen=True)
class TasksInputs:
    """base_files: as of Inputs; forbidden: test outputs of all tasks that their constraints forbid."""

    recipe: Recipe
    base_files: Mapping[str, list[int]]
    tasks: Mapping[str, Prepared]
    forbidden: int


def of_one(inputs: Inputs) -> dict[str, Any]:
    recipe, named = inputs.recipe, columns(inputs.recipe)
    read = [*named_paths(recipe).values(), *beside(recipe).values()]
    shown = [images_digest(path, named) for path in (*read, *update.sources(recipe).values())]
    more = ("licenses", *(["tools"] if recipe.data.show_tools else []))
    return {
        **_origin(recipe, inputs.base_files),
        "data": dataclasses.asdict(recipe.data),
        "sources": [digest(path) for path in read],
        **({"images": shown} if any(shown) else {}),
        **{key: digest(recipe.resolve(path)) for key in more if (path := getattr(recipe.data, key))},
        **({"seed": recipe.train.seed} if recipe.scratch else {}),
        **_of_augmentation(recipe, any(shown)),
        **_of_new(recipe),
        "constraint": dataclasses.asdict(recipe.constraint),
        "constraint_source": constraint.source_digest(recipe),
        "following": [dataclasses.asdict(table) for table in constraint.following(recipe)],
    }


def of_tasks(inputs: TasksInputs) -> dict[str, Any]:
    recipe = inputs.recipe
    return {
        **_origin(recipe, inputs.base_files),
        "tasks": {name: dict(one.digests) for name, one in inputs.tasks.items()},
        "off_topic": {
            key: files.sha256_file(path) for key, path in routing.stated(recipe).items() if path.exists()
        },
        "data": dataclasses.asdict(recipe.data),
        "test": [recipe.eval.limit, SEED],
    }


def _origin(recipe: Recipe, base_files: Mapping[str, list[int]]) -> dict[str, Any]:
    """The recipe's base or [scratch], and the base's files where the stage copies them."""
    if recipe.scratch:
        return {"scratch": dataclasses.asdict(recipe.scratch), "context": recipe.build.context}
    assert recipe.base  # the recipe's reader checks it
    return {"base": dataclasses.asdict(recipe.base), **({"files": dict(base_files)} if base_files else {})}


def _of_augmentation(recipe: Recipe, has_images: bool) -> dict[str, Any]:
    """Beside the table [data], what decides which examples are made. has_images: whether the examples do."""
    if not (augmentation.substitutes(recipe) or (has_images and augmentation.image_kinds(recipe))):
        return {}
    stated, without = recipe.train, augmentation.without_file(recipe)
    variants = [stated.epochs, stated.seeds, stated.method, stated.originals_once]
    decides: dict[str, Any] = {"seed": stated.seed, "variants": variants}
    if without and without.exists():
        decides["without"] = files.sha256_file(without)
    return {"augment": decides}


def _of_new(recipe: Recipe) -> dict[str, Any]:
    """Of [update], beside the tables [base] and [data]."""
    start, division = update.folder(recipe), division_before(recipe)
    if not start:
        return {}
    decides = {"adapter": peft_folder.digest_of(start), "seed": recipe.train.seed}
    decides |= {key: digest(path) for key, path in update.sources(recipe).items()}
    return {"update": decides | ({"division": files.sha256_file(division)} if division else {})}
