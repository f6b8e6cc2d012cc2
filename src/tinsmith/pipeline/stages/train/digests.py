"""The parts of the run's data and recipe that decide the training's result."""

from __future__ import annotations

import dataclasses
from typing import Any

from tinsmith.formats.model_files import model_digest
from tinsmith.pipeline import formats, update
from tinsmith.pipeline.prepared import ANSWER, Prepared
from tinsmith.pipeline.stages.train.job import reward_files, teacher_path
from tinsmith.pipeline.stages.train.options import options
from tinsmith.system import files
from tinsmith.train import methods
from tinsmith.train.adapters import peft_folder


def of_train(prepared: Prepared) -> dict[str, Any]:
    """What was trained stays, wherever it was: another device is no other model."""
    recipe, base, examples = prepared.recipe, prepared.base, prepared.counts["train"]
    teacher = teacher_path(recipe, base.path)
    stated = {
        **dataclasses.asdict(recipe.train),
        "epochs": recipe.passes(examples, prepared.is_augmented),
        "originals_once": recipe.reads_originals_once(examples, prepared.is_augmented),
    }
    return {
        "train": {key: value for key, value in stated.items() if key != "device"},
        "qat": formats.prepare_digests(prepared),
        "task": recipe.data.task,
        "system": recipe.data.system,
        "base": base.sha256,
        "template": base.template,
        "data": list(prepared.model_data.values()),
        **({"teacher": model_digest(teacher)} if teacher and teacher.exists() else {}),
        "augmented": prepared.is_augmented,
        **_of_update(prepared),
        **_of_rewards(prepared),
    }


def _of_rewards(prepared: Prepared) -> dict[str, Any]:
    """The constraint of rollouts, and the reward functions."""
    recipe = prepared.recipe
    is_grpo = "reward" in methods.by_name(recipe.train.method).keys
    is_constrained = is_grpo and prepared.constraint is not None
    scored = [files.sha256_file(path) for path in reward_files(recipe)]
    return {
        **({"constraint": prepared.digests[ANSWER]} if is_constrained else {}),
        **({"scored": scored} if scored else {}),
    }


def _of_update(prepared: Prepared) -> dict[str, Any]:
    """The old and the new tests decide no weight, but they are measured in training."""
    recipe, new = prepared.recipe, prepared.new
    stated, start = recipe.update, update.folder(recipe)
    if stated is None or start is None:
        return {}
    more: dict[str, Any] = {}
    if new:
        whole, made = prepared.counts["train"], prepared.is_augmented
        chosen = options(recipe, whole - new.train, made=made, goes_on=True)
        is_as_stated = chosen.originals_once == recipe.reads_originals_once(whole, made)
        more = {
            "new": dataclasses.asdict(new),
            "epochs": chosen.epochs,
            **({} if is_as_stated else {"originals_once": chosen.originals_once}),
            "retrain": stated.retrain,
            "test": prepared.split_digest("test"),
        }
    rate = {"learning_rate": stated.learning_rate}
    return {"update": {"adapter": peft_folder.digest_of(start), **rate, **more}}
