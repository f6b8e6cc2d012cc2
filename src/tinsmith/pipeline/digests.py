"""The parts of each stage's inputs that decide its outputs: JSON values in run.json whose change makes the
stage stale."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinsmith import hub
from tinsmith.evaluate.naming import NAMED, file_systems
from tinsmith.formats.model_files import model_digest
from tinsmith.pipeline import constraint, contents, formats, routing, update
from tinsmith.pipeline.examples import beside, columns, digest, division_before, images_digest, named_paths
from tinsmith.pipeline.measuring import BASELINE_KEYS
from tinsmith.pipeline.prepared import ANSWER, DRAFT, LICENSES, Prepared, split_name
from tinsmith.pipeline.recipe.values import Recipe
from tinsmith.pipeline.stages import baselines, merge, verify
from tinsmith.pipeline.stages.adapters import inputs as adapters
from tinsmith.pipeline.stages.build import inputs as build
from tinsmith.pipeline.stages.data import augmentation
from tinsmith.pipeline.stages.data import inputs as data
from tinsmith.pipeline.stages.evaluate import make as evaluate
from tinsmith.pipeline.stages.evaluate.tasks import TasksInputs as EvaluateTasks
from tinsmith.pipeline.stages.report import inputs as report
from tinsmith.pipeline.stages.seal import inputs as seal
from tinsmith.pipeline.stages.seal.outputs import figures, flat, thresholds
from tinsmith.pipeline.stages.train.job import reward_files, teacher_path
from tinsmith.pipeline.stages.train.options import options
from tinsmith.system import files
from tinsmith.train import methods
from tinsmith.train.adapters import peft_folder

Digests = dict[str, Any]


def of_data(inputs: data.Inputs) -> Digests:
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


def _origin(recipe: Recipe, base_files: Mapping[str, str]) -> Digests:
    """What training starts from, as the recipe says it; and what its own files hold where copies of them in the
    run's folder are the stage's outputs."""
    if recipe.scratch:
        return {"scratch": dataclasses.asdict(recipe.scratch), "context": recipe.build.context}
    assert recipe.base  # the recipe's reader saw to it
    return {"base": recipe.base.stated, **({"files": dict(base_files)} if base_files else {})}


def _of_augmentation(recipe: Recipe, has_images: bool) -> Digests:
    """Beside the table [data], what decides which examples are made. has_images: whether the examples do."""
    if not (augmentation.substitutes(recipe) or (has_images and augmentation.image_kinds(recipe))):
        return {}
    stated, without = recipe.train, augmentation.without_file(recipe)
    variants = [stated.epochs, stated.seeds, stated.method, stated.originals_once]
    decides: Digests = {"seed": stated.seed, "variants": variants}
    if without and without.exists():
        decides["without"] = files.sha256_file(without)
    return {"augment": decides}


def _of_new(recipe: Recipe) -> Digests:
    """Of [update], beside the tables [base] and [data]."""
    start, division = update.folder(recipe), division_before(recipe)
    if not start:
        return {}
    decides = {"adapter": peft_folder.digest_of(start), "seed": recipe.train.seed}
    decides |= {key: digest(path) for key, path in update.sources(recipe).items()}
    return {"update": decides | ({"division": files.sha256_file(division)} if division else {})}


def of_data_of_tasks(inputs: data.TasksInputs) -> Digests:
    recipe = inputs.recipe
    return {
        **_origin(recipe, inputs.base_files),
        "tasks": {name: dict(one.digests) for name, one in inputs.tasks.items()},
        "off_topic": {
            key: files.sha256_file(path) for key, path in routing.stated(recipe).items() if path.exists()
        },
        "data": dataclasses.asdict(recipe.data),
        "test": [recipe.eval.limit, recipe.eval.seed],
    }


def of_baselines(inputs: baselines.Inputs) -> Digests:
    prepared, recipe = inputs.data, inputs.data.recipe
    stated = recipe.data
    return {
        "base": prepared.base.sha256,
        "data": [prepared.digests.get(split_name(split)) for split in ("train", "test")],
        "tools": files.sha256_file(recipe.resolve(stated.tools)) if stated.tools else None,
        "task": stated.task,
        "schema": constraint.source_digest(recipe),
        "system": stated.system,
        "thinking": stated.thinking,
        "date": stated.date,
        "eval": dataclasses.asdict(recipe.eval),
    }


def of_train(prepared: Prepared) -> Digests:
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


def _of_rewards(prepared: Prepared) -> Digests:
    """The constraint of rollouts, and the reward functions."""
    recipe = prepared.recipe
    is_grpo = "reward" in methods.by_name(recipe.train.method).keys
    is_constrained = is_grpo and prepared.constraint is not None
    scored = [files.sha256_file(path) for path in reward_files(recipe)]
    return {
        **({"constraint": prepared.digests[ANSWER]} if is_constrained else {}),
        **({"scored": scored} if scored else {}),
    }


def _of_update(prepared: Prepared) -> Digests:
    """The old and the new tests decide no weight, but they are measured in training."""
    recipe, new = prepared.recipe, prepared.new
    stated, start = recipe.update, update.folder(recipe)
    if stated is None or start is None:
        return {}
    more: Digests = {}
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


def of_merge(inputs: merge.Inputs) -> Digests:
    base = inputs.data.base
    given = {"base": base.sha256, "trained": dict(inputs.digests), "template": base.template}
    return given | ({"mtp": True} if inputs.data.recipe.build.mtp else {})


def of_build(inputs: build.Inputs) -> Digests:
    prepared, recipe = inputs.data, inputs.data.recipe
    base_license = hub.license_text(Path(prepared.base.path))
    return {
        **inputs.digests,
        "build": recipe.build.stated,
        **contents.target_digests(recipe),
        **formats.auto_digests(prepared),
        "name": recipe.name,
        "licenses": prepared.digests.get(LICENSES),
        "base_license": hashlib.sha256(base_license).hexdigest() if base_license else None,
        "constraint": prepared.digests.get(ANSWER),
        "draft": prepared.digests.get(DRAFT),
        "recipe": recipe.model_digest,
    }


def of_build_of_base(inputs: build.BaseInputs) -> Digests:
    prepared, recipe = inputs.data, inputs.data.recipe
    answer = prepared.digests.get(ANSWER)
    return {
        "base": prepared.base.sha256,
        "template": prepared.base.template,
        "build": recipe.build.stated,
        **contents.target_digests(recipe),
        "name": recipe.name,
        "licenses": prepared.digests.get(LICENSES),
        "recipe": recipe.model_digest,
        **({"constraint": answer} if answer else {}),
        "draft": prepared.digests.get(DRAFT),
    }


def of_verify(inputs: verify.Inputs) -> Digests:
    return {"built": dict(inputs.digests), "prompts": inputs.data.split_digest("validation")}


def of_adapters(inputs: adapters.Inputs) -> Digests:
    prepared, recipe = inputs.data, inputs.data.recipe
    return {
        "built": dict(inputs.digests),
        "adapters": {name: dict(one.digests) for name, one in inputs.tasks.items()},
        "data": {name: dict(one.data.digests) for name, one in inputs.tasks.items()},
        "off_topic": prepared.digests[routing.COPIES["off_topic"]],
        "router": [inputs.examples, recipe.train.seed, recipe.eval.seed],
    }


def of_evaluate(inputs: evaluate.Inputs) -> Digests:
    prepared, recipe = inputs.data, inputs.data.recipe
    return {
        "built": dict(inputs.built),
        "merged": dict(inputs.merged),
        "data": prepared.split_digest("test"),
        "task": recipe.data.task,
        "schema": constraint.source_digest(recipe),
        "system": recipe.data.system,
        "eval": _of_eval(recipe),
        **({"validation": prepared.split_digest("validation")} if recipe.eval.max_error is not None else {}),
    }


def _of_eval(recipe: Recipe) -> Digests:
    settings = dataclasses.asdict(recipe.eval)
    return {key: value for key, value in settings.items() if key not in BASELINE_KEYS}


def of_evaluate_of_tasks(inputs: EvaluateTasks) -> Digests:
    return {
        "adapted": dict(inputs.digests),
        "data": dict(inputs.data.digests),
        "tasks": {name: dataclasses.asdict(one.recipe.data) for name, one in inputs.tasks.items()},
        "compared": dict(inputs.compared),
        "eval": _of_eval(inputs.data.recipe),
    }


def of_seal(inputs: seal.Inputs) -> Digests:
    systems, names = inputs.systems, {weights: file_systems(weights) for weights in inputs.tins}
    every = {weights: thresholds(systems, named) for weights, named in names.items()}
    stated = {weights: one for weights, one in every.items() if one}
    return {
        "built": dict(inputs.built),
        "metrics": {weights: figures(systems, named) for weights, named in names.items()},
        **({"abstention": stated} if stated else {}),
        "test": inputs.data.split_digest("test"),
        "recipe": inputs.data.recipe.sha256,
    }


def of_seal_of_tasks(inputs: seal.TasksInputs) -> Digests:
    return {
        "adapted": dict(inputs.digests),
        "figures": {
            weights: flat(inputs.systems, inputs.router[weights], weights) for weights in inputs.adapted
        },
        "thresholds": {
            weights: {
                name: thresholds(inputs.systems[name], file_systems(weights, NAMED)) for name in inputs.tasks
            }
            for weights in inputs.adapted
        },
        "recipe": inputs.data.recipe.sha256,
    }


def of_report(inputs: report.Records) -> Digests:
    stages = {name: [one["inputs_sha256"], one["outputs"]] for name, one in inputs.stages.items()}
    return {"recipe": inputs.data.recipe.sha256, "stages": stages}
