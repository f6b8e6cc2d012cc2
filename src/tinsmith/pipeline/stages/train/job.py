"""The training job of a run's data and recipe, and how an adapter learns new examples."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tinsmith
from tinsmith.constraint import Constraint
from tinsmith.data.augment import origin
from tinsmith.data.readers import Example
from tinsmith.pipeline import contents, update
from tinsmith.pipeline.prepared import Prepared, load_base
from tinsmith.pipeline.recipe.values import Recipe
from tinsmith.pipeline.stage import digest_of
from tinsmith.pipeline.stages.train.options import options
from tinsmith.spec import Spec
from tinsmith.system import files
from tinsmith.train import methods
from tinsmith.train.events import CONTINUED, NEW_TEST, NEW_VALIDATION, OLD_TEST, OLD_VALIDATION, RETRAINED
from tinsmith.train.options import AUTO_DEVICE, BASE_TEACHER
from tinsmith.train.quantized.qat_adapter import Preparation
from tinsmith.train.reinforcement import rewards

if TYPE_CHECKING:
    from tinsmith.train.job import Job
    from tinsmith.train.update import Plan


@dataclass(frozen=True)
class Inputs:
    """decides: all that decides the result, as run.json keeps it; log: the kind of files that training writes
    its curves to, None for none."""

    data: Prepared
    decides: Mapping[str, Any]
    log: str | None = None


def decisive(inputs: Inputs, job: Job) -> dict[str, Any]:
    """The digests that matter to the job. A key of [train] that it ignores counts as unstated."""
    found = copy.deepcopy(dict(inputs.decides))
    if job.options.qat is None:
        del found["qat"]
        found["train"]["qat"] = "auto"
    return found


def untested(added: Mapping[str, Any]) -> dict[str, Any]:
    """The part of [update] that decides a training: neither its tests, nor whether the other training runs."""
    seen = {key: value for key, value in added.items() if key not in ("retrain", "test")}
    if "new" in added:
        seen["new"] = {key: value for key, value in added["new"].items() if key != "test"}
    return seen


def plan(inputs: Inputs, job: Job) -> Plan:
    """Continues the adapter with the new examples, or trains a new one on all examples."""
    from tinsmith.train.update import Plan

    data = inputs.data
    stated, new = data.recipe.update, data.new
    assert stated and new  # there are new examples
    count = len(job.examples) - new.train
    further = dataclasses.replace(
        job,
        examples=job.examples[count:],
        known=job.examples[:count],
        variants=[without_first(made, count) for made in job.variants],
        options=options(data.recipe, count, job.options.qat, made=data.is_augmented, goes_on=True),
    )
    splits = {
        (OLD_TEST, NEW_TEST): (data.examples("test"), new.test),
        (OLD_VALIDATION, NEW_VALIDATION): (job.validation, new.validation),
    }
    sets: dict[str, Sequence[Example]] = {}
    for (old_name, new_name), (rows, added) in splits.items():
        sets[old_name] = rows[: len(rows) - added]
        if added:
            sets[new_name] = rows[len(rows) - added :]
    whole = decisive(inputs, job)
    seen = untested(whole.pop("update"))
    digests = {CONTINUED: digest_of({**whole, "update": seen}), RETRAINED: digest_of(whole)}
    return Plan(further, dataclasses.replace(job, start=None), stated.retrain, sets, digests)


def without_first(made: Sequence[Example], count: int) -> list[Example]:
    """The augmented examples of those after the first `count`, numbered anew, and off-topic examples."""
    kept = []
    for row in made:
        number = origin(row)
        if number is None:
            kept.append(row)
        elif number > count:
            kept.append(dataclasses.replace(row, about={**row.about, "from": number - count}))
    return kept


def check(data: Prepared, folder: Path) -> None:
    """Raises InputError or DataError as training would before its first step, without network access: minutes
    of other work may come before it."""
    method, device = methods.by_name(data.recipe.train.method), data.recipe.train.device
    if device != AUTO_DEVICE:
        from tinsmith.train.model import devices

        devices.choose(device)
    job = job_of(data, load_base(data.recipe, data.base.path), folder)
    method.check(job)
    method.check_lengths(job)
    if job.options.targets:
        from tinsmith.train.model import network

        network.adapted(job.spec, job.options)


def job_of(data: Prepared, spec: Spec, folder: Path, preparation: Preparation | None = None) -> Job:
    """A job for all examples, from the base or from an adapter. preparation: the quantization that every other
    step simulates, None for none."""
    from tinsmith.train.job import Job

    recipe, base = data.recipe, data.base
    tokenizer = tinsmith.load(base.path)

    def encode(text: str) -> list[int]:
        return tokenizer.tokenize(text, special=True)

    preset = preparation.preset if preparation else None
    job = Job(
        spec=spec,
        examples=data.examples("train"),
        validation=data.examples("validation"),
        options=options(recipe, data.counts["train"], preset, made=data.is_augmented, goes_on=data.new is None),
        out_dir=folder,
        encode=encode,
        variants=data.augmented(),
        texts=data.texts(),
        preferences=data.preferences(),
        teacher=teacher_path(recipe, base.path),
        is_new=recipe.scratch is not None,
        feedback=preparation.feedback if preparation else None,
        feedback_of=preparation.feedback_of if preparation else "",
        start=update.folder(recipe),
        base_sha256=(spec.source or base.sha256) if recipe.base else "",
        constraint=_compiled(data),
        context=contents.context_of(recipe, spec),
        reward_digest="".join(files.sha256_file(path) for path in reward_files(recipe)),
    )
    contents.check_asked(data, spec, encode)
    return job


def _compiled(data: Prepared) -> Constraint | None:
    """The recipe's constraint."""
    facts = data.constraint
    return None if facts is None else Constraint.of_bytes(facts["kind"], data.constraint_bytes())


def reward_files(recipe: Recipe) -> list[Path]:
    places = map(rewards.of_function, recipe.train.reward or ())
    return [recipe.resolve(place[0]) for place in places if place]


def teacher_path(recipe: Recipe, base: str) -> Path | None:
    """base: the path of the base's model."""
    given = recipe.train.teacher
    if given is None or given == BASE_TEACHER:
        return Path(base) if given else None
    return recipe.resolve(given)
