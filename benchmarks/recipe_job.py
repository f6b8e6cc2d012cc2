"""What a recipe trains, as a job of its own: base, examples and options, without a run and augmentation."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import tinsmith
from tinsmith import hub, models
from tinsmith.pipeline.examples import read_examples
from tinsmith.pipeline.prepared import settled
from tinsmith.pipeline.recipe import Recipe
from tinsmith.pipeline.stages.train.options import options
from tinsmith.train.job import Job


def base_path(recipe: Recipe) -> Path:
    assert recipe.base, "the recipe has no [base]"
    local = recipe.resolve(recipe.base.model)
    return hub.pull(str(local) if local.exists() else recipe.base.model)


def job(recipe: Recipe, out: Path, examples: int | None = None, base: Path | None = None) -> Job:
    """examples: how many to train on, and to validate on at most, None for all; base: another one than the
    recipe's."""
    path = base or base_path(recipe)
    splits = {split: recipe.resolve(getattr(recipe.data, split)) for split in ("train", "validation")}
    if recipe.data.command and not all(file.exists() for file in splits.values()):
        words = [sys.executable if word == "python" else word for word in recipe.data.command]
        subprocess.run(words, cwd=recipe.path.parent, stdout=sys.stderr, check=True)
    spec, model = models.load(path), tinsmith.load(path, threads=1)
    if spec.chat_template is not None:
        spec = replace(spec, chat_template=settled(recipe, spec.chat_template))
    train, validation = (read_examples(file, recipe.data.task)[:examples] for file in splits.values())
    train = train[: recipe.data.limit or None]
    return Job(
        spec=spec,
        examples=train,
        validation=validation,
        options=options(recipe, len(train)),
        out_dir=out,
        encode=lambda text: model.tokenize(text, special=True),
    )
