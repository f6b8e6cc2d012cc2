"""Assembles the training job from the run's data and the recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith.pipeline import contents, update
from tinsmith.pipeline.prepared import Prepared, load_base
from tinsmith.pipeline.recipe.values import Recipe
from tinsmith.pipeline.stages.train.options import options
from tinsmith.system import files
from tinsmith.train import methods
from tinsmith.train.options import AUTO_DEVICE, BASE_TEACHER
from tinsmith.train.reinforcement import rewards

if TYPE_CHECKING:
    from tinsmith.constraint import Constraint
    from tinsmith.spec import Spec
    from tinsmith.train.job import Job
    from tinsmith.train.quantized.qat_adapter import Preparation


def check(data: Prepared, folder: Path) -> None:
    """Raises InputError or DataError as training would before its first step, without network access: minutes
    of other work may come before it."""
    method = methods.by_name(data.recipe.train.method)
    if data.recipe.train.device != AUTO_DEVICE:
        from tinsmith.train.model import devices

        devices.choose(data.recipe.train.device)
    job = job_of(data, load_base(data.recipe, data.base.path), folder)
    method.check(job)
    method.check_lengths(job)
    if job.options.targets:
        from tinsmith.train.model import network

        network.adapted(job.spec, job.options)


def job_of(data: Prepared, spec: Spec, folder: Path, preparation: Preparation | None = None) -> Job:
    """A job for all examples, from the base or from an adapter. preparation: the quantization that every other
    step simulates, None for none."""
    import tinsmith
    from tinsmith.train.job import Job

    recipe, base = data.recipe, data.base
    runtime = tinsmith.load(base.path)

    def encode(text: str) -> list[int]:
        return runtime.tokenize(text, special=True)

    preset = preparation.preset if preparation else None
    job = Job(
        spec=spec,
        examples=data.examples("train"),
        validation=data.examples("validation"),
        options=options(recipe, data.counts["train"], preset, made=data.is_augmented, goes_on=data.new is None),
        out_dir=folder,
        kept_dir=folder,
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
        constraint=compiled(data),
        context=contents.context_of(recipe, spec),
        runtime=runtime,
        reward_digest="".join(files.sha256_file(path) for path in reward_files(recipe)),
    )
    contents.check_asked(data, spec, encode)
    return job


def compiled(data: Prepared) -> Constraint | None:
    """The recipe's constraint."""
    from tinsmith.constraint import Constraint

    facts: dict[str, Any] | None = data.constraint
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
