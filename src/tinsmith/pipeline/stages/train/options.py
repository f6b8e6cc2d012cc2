"""[train] and [update] as training takes them."""

from __future__ import annotations

import dataclasses

from tinsmith.pipeline.recipe.tables import SEARCH, SEARCH_BUDGET
from tinsmith.pipeline.recipe.values import Recipe
from tinsmith.quant.presets import Mix
from tinsmith.train import methods
from tinsmith.train.options import SCRATCH_DEFAULTS, UPDATE_EPOCHS, UPDATE_SHARE, TrainOptions
from tinsmith.train.reinforcement import rewards


def options(
    recipe: Recipe, examples: int, preset: str | Mix | None = None, made: bool = False, *, goes_on: bool = False
) -> TrainOptions:
    """[train] as training takes it, where "auto" is what is left out. examples, made: as for Recipe.passes;
    preset: what training prepares for; goes_on: from the adapter of [update], if there is one."""
    passes, once = recipe.passes(examples, made), recipe.reads_originals_once(examples, made)
    method, update = methods.by_name(recipe.train.method), recipe.update if goes_on else None
    if update and update.data is not None:
        stated = update.epochs
        passes = stated if isinstance(stated, int) else max(UPDATE_EPOCHS, round(UPDATE_SHARE * passes))
        once = bool(recipe.train.originals_once)  # the new ones are few
    values = {**dataclasses.asdict(recipe.train), "epochs": passes, "originals_once": once}
    values |= {"reward": _rewards(recipe), "qat": preset, "renew": method.renew}
    if update:
        rate = values["learning_rate"]
        values |= {"gentle": method.gentle}
        if update.learning_rate != "auto":
            values["learning_rate"] = update.learning_rate
        elif isinstance(rate, float | int) and method.gentle != 1:
            values |= {"learning_rate": rate * method.gentle, "given": rate}
    if values["learning_rate"] == SEARCH:
        values |= {"search": SEARCH_BUDGET, "learning_rate": None}
    left_out = {"learning_rate": None, "targets": ()}
    values |= {key: value for key, value in left_out.items() if values[key] == "auto"}
    if not values["reward"]:
        del values["reward"]
    del values["method"]
    more = SCRATCH_DEFAULTS if recipe.scratch else {}
    if recipe.base:
        more = {**more, "weights": recipe.base.weights}
    return TrainOptions(task=recipe.data.task, system=recipe.data.system, **{**values, **more})


def _rewards(recipe: Recipe) -> dict[str, float]:
    """The weights of rewards by name, a function's with the path of its file."""
    stated = recipe.train.reward or {}
    places = {name: rewards.of_function(name) for name in stated}
    files = {name: f"{recipe.resolve(place[0])}:{place[1]}" for name, place in places.items() if place}
    return {files.get(name, name): weight for name, weight in stated.items()}
