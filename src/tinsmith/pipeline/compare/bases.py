"""What answers here: each base as it is, and trained on so many examples, as tins of one weight format."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tinsmith.pipeline import engine as stages
from tinsmith.pipeline.compare import settings
from tinsmith.pipeline.compare.settings import Settings
from tinsmith.pipeline.engine_tasks import BUILD
from tinsmith.pipeline.examples import write_examples
from tinsmith.pipeline.run import Record, Run, opened
from tinsmith.pipeline.stages import build
from tinsmith.pipeline.stages.data import make as data
from tinsmith.pipeline.stages.data.make import Base
from tinsmith.pipeline.stages.train import make as training

if TYPE_CHECKING:
    from tinsmith.data.readers import Example
    from tinsmith.pipeline.recipe import Recipe

BASES, TUNED, LEARNED = "bases", "tuned", "data/learned"  # in the folder of a comparison
STAGES = (stages.DATA, BUILD)


@dataclass(frozen=True)
class Tin:
    """seconds, examples: of its training; None for a base."""

    path: Path
    sha256: str
    bytes: int
    base: Base
    seconds: float | None = None
    examples: int | None = None


def as_it_is(run: Run) -> Tin:
    """The base of a run whose STAGES are up to date."""
    return _tin(run, run.done(BUILD))


def other(run: Run, label: str, model: str) -> Tin:
    """Another base, on the data of the comparison."""
    splits = {split: run.folder / data.split_name(split) for split in ("train", "validation", "test")}
    recipe = settings.of_copies(settings.of_base(run.recipe, model), splits, data.labels(run))
    with opened(recipe, run.folder / BASES / label, run.display) as one:
        one.update(STAGES, [BUILD.name])
        return as_it_is(one)


def tuned(run: Run, recipe: Recipe, label: str, model: str, count: int, chosen: Settings) -> Tin:
    """A base trained on the first `count` examples of a seeded order, so that the smaller sets are parts of the
    larger ones. recipe: the user's."""
    splits = _splits(run, count, chosen)
    stated = settings.of_training(recipe, model, splits, data.labels(run), chosen)
    run.display.line(f"{label} on {count:,} examples:")
    made = stages.make(stated, run.folder / TUNED / label / str(count), run.display, stages.BUILD.name)
    tin = _tin(made, made.done(stages.BUILD))
    return Tin(tin.path, tin.sha256, tin.bytes, tin.base, training.seconds_of(made.done(stages.TRAIN)), count)


def counts(run: Run, chosen: Settings) -> list[int]:
    """Of examples that are trained on, rising; the last is all of them, or as many as the settings allow."""
    whole = run.done(stages.DATA).facts.counts["train"]
    most = min(whole, chosen.examples or whole)
    return [*(size for size in chosen.sizes if size < most), most]


def learned(run: Run, count: int) -> list[Example]:
    """What `count` examples are: all as they stand, or the first of a seeded order."""
    rows = data.examples(run, "train")
    return list(rows) if count >= len(rows) else _drawn(rows, count, run.recipe.train.seed)


def _splits(run: Run, count: int, chosen: Settings) -> dict[str, Path]:
    held = data.examples(run, "validation")
    validation = _drawn(held, chosen.validation or len(held), run.recipe.train.seed)
    splits = {"train": learned(run, count), "validation": validation}
    paths = {"test": run.folder / data.split_name("test")}
    for split, rows in splits.items():
        paths[split] = run.folder / LEARNED / f"{split}-{len(rows)}.jsonl"
        write_examples(paths[split], rows)
    return paths


def _drawn(rows: Sequence[Example], count: int, seed: int) -> list[Example]:
    order = list(rows)
    random.Random(seed).shuffle(order)
    return order[:count]


def _tin(run: Run, built: Record[build.Built]) -> Tin:
    path = next(iter(build.unsealed(run, built).values()))
    digest = build.digests(built)[path.name]
    return Tin(path, digest, path.stat().st_size, run.done(stages.DATA).facts.base)
