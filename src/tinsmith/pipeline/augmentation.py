"""Examples made from those of the recipe: whether a run has them, how many, and what the report says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tinsmith import tasks
from tinsmith.data.augment import augment
from tinsmith.data.splits import shared_inputs

if TYPE_CHECKING:
    from tinsmith.data.readers import Example
    from tinsmith.pipeline.recipe import Recipe
    from tinsmith.pipeline.run import Run

FILE = "data/augmented.jsonl"


@dataclass(frozen=True)
class Augmentation:
    """rows: examples made; variants: of each example, at most; slots: values found that can be substituted, by
    argument; sources: those filled in, by where they are from; shared: by split, its inputs that were made too."""

    rows: int
    variants: int
    slots: dict[str, int]
    sources: dict[str, int]
    shared: dict[str, int]


def inputs(recipe: Recipe) -> dict[str, Any]:
    return {"augment": {"seed": recipe.train.seed, "variants": variants(recipe)}} if applies(recipe) else {}


def applies(recipe: Recipe) -> bool:
    """Where the recipe does not say, to each task whose outputs have values."""
    stated = recipe.data.augment
    return tasks.by_name(recipe.data.task).has_values if stated is None else stated


def variants(recipe: Recipe) -> int:
    stated = recipe.data.augment_variants
    return recipe.train.epochs if isinstance(stated, str) else stated


def make(run: Run, splits: Mapping[str, Sequence[Example]]) -> tuple[list[Example], Augmentation] | None:
    """The examples made, in the order of variants, and the facts; None where there are none to make."""
    recipe = run.recipe
    if not applies(recipe):
        return None
    trained = run.state["stages"].get("train")
    if recipe.data.augment is None and trained and "augmented" not in trained["inputs"]:
        run.display.line(
            "data: a version of tinsmith that made no further examples trained this run, and its adapter is kept; "
            "state augment = true in [data] to train it with them"
        )
        return None
    made = augment(splits["train"], tasks.by_name(recipe.data.task).values, variants(recipe), recipe.train.seed)
    rows = [example for variant in made.rows for example in variant]
    if not rows:
        return None
    facts = Augmentation(
        rows=len(rows),
        variants=variants(recipe),
        slots=dict(sorted(made.slots.items())),
        sources=dict(sorted(made.sources.items())),
        shared={split: len(shared_inputs(rows, splits[split])) for split in ("validation", "test")},
    )
    run.display.line(f"data: {len(rows):,} further examples made, in {FILE}")
    return rows, facts


def by_variant(rows: Sequence[Example]) -> list[list[Example]]:
    count = 1 + max((row.about["variant"] for row in rows), default=-1)
    return [[row for row in rows if row.about["variant"] == n] for n in range(count)]
