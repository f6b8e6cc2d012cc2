"""Augmented examples: variants of the recipe's examples with other values or changed images."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from tinsmith import models, tasks
from tinsmith.data import image_changes
from tinsmith.data.augment import Augmented, augment
from tinsmith.data.image_sheet import sheet
from tinsmith.data.images import ImageSource
from tinsmith.data.readers import Example
from tinsmith.data.slots import words
from tinsmith.data.splits import shared_inputs
from tinsmith.errors import DataError
from tinsmith.pipeline.prepared import AUGMENTED, Augmentation
from tinsmith.pipeline.recipe.values import Recipe
from tinsmith.pipeline.stage import Reporter
from tinsmith.system import files, reading
from tinsmith.tokenizer.packed import token_text
from tinsmith.train import methods
from tinsmith.train.tensors import to_float32

SHEET = "data/images.png"  # some changed images
SHEET_WIDTH = 6  # of them in a row, with the first
SHOWN = 10  # rows of them


def substitutes(recipe: Recipe) -> bool:
    """Whether values are substituted: as stated, or by default where the task's outputs have values."""
    stated = recipe.data.augment
    if recipe.data.train is None or not methods.by_name(recipe.train.method).reads_examples:
        return False
    return tasks.by_name(recipe.data.task).has_values if stated is None else stated


def variants(recipe: Recipe, train: Sequence[Example]) -> int:
    """The number of variants of an example: one for each time that it is learned."""
    made = substitutes(recipe) or (bool(image_kinds(recipe)) and any(one.images for one in train))
    return recipe.passes(len(train), made) * recipe.train.seeds


def augmented(
    recipe: Recipe, splits: Mapping[str, Sequence[Example]], base: Path, reporter: Reporter
) -> tuple[list[Example], Augmentation] | None:
    """The augmented examples by variant, and facts of them; None where there are none. base: a model's path."""
    train = splits["train"]
    rounds, rows, slots, sources = variants(recipe, train), list[Example](), {}, {}
    if substitutes(recipe):
        made = substituted(recipe, train, rounds, base)
        rows += [example for variant in made.rows for example in variant]
        slots, sources = dict(sorted(made.slots.items())), dict(sorted(made.sources.items()))
    changed = changed_images(recipe, train)
    counts = Counter(kind for row in changed for kind in row.about["changed"])
    rows = sorted([*rows, *changed], key=lambda row: int(row.about["variant"]))
    if not rows:
        return None
    reporter.note(f"data: {len(rows):,} further examples made, in {AUGMENTED}")
    shared = {split: len(shared_inputs(rows, splits[split])) for split in ("validation", "test")}
    return rows, Augmentation(len(rows), rounds, slots, sources, shared, dict(counts))


def substituted(recipe: Recipe, train: Sequence[Example], rounds: int, base: Path) -> Augmented:
    """With other values."""
    task = tasks.by_name(recipe.data.task)
    return augment(
        train,
        task.values,
        rounds,
        recipe.train.seed,
        labels=[task.label(example.output) for example in train],
        tokens=() if recipe.scratch else tokens_of(base),
        without=kept_out(recipe),
        embeddings=None if recipe.scratch else partial(embeddings_of, base),
    )


def image_kinds(recipe: Recipe) -> tuple[str, ...]:
    """The kinds of changes to images: as stated, or all."""
    stated = recipe.data.augment_images
    if not methods.by_name(recipe.train.method).reads_examples:
        return ()
    return image_changes.KINDS if stated is None else stated


def changed_images(recipe: Recipe, train: Sequence[Example]) -> list[Example]:
    """Each example with images once in each variant, the images changed as a camera would change them."""
    kinds, rows = image_kinds(recipe), []
    for variant in range(variants(recipe, train) if kinds else 0):
        for number, example in enumerate(train, 1):
            if not example.images:
                continue
            rng = random.Random(f"{recipe.train.seed} {variant} {number} pictures")
            images = tuple(
                replace(image, change=image_changes.draw(kinds, image.size(), rng)) for image in example.images
            )
            changed = sorted({kind for image in images for kind, _ in image.change})
            about = {"from": number, "variant": variant, "changed": changed}
            rows.append(replace(example, images=images, about=about, where=None))
    return rows


def show_images(
    rows: Sequence[Example], train: Sequence[Example], folder: Path, reporter: Reporter
) -> list[Path]:
    """Draws a sheet of changed images for a person to look at, each row after its original."""
    made: dict[int, list[ImageSource]] = {}
    for row in rows:
        if "changed" in row.about:
            made.setdefault(row.about["from"], []).append(row.images[0])
    chosen = sorted(made)[:: max(1, -(-len(made) // SHOWN))]
    if not chosen:
        return []
    path = folder / SHEET
    lines = [[train[number - 1].images[0], *made[number][: SHEET_WIDTH - 1]] for number in chosen]
    with files.atomic_write(path) as file:
        sheet(lines).save(file, "PNG")
    reporter.note(f"data: some of the changed images are in {SHEET}")
    return [path]


def tokens_of(base: Path) -> list[str]:
    """The texts of a model's vocabulary, in order."""
    tokenizer = models.load(base).tokenizer
    texts = (token_text(*pair, tokenizer.model) for pair in zip(tokenizer.tokens, tokenizer.types, strict=True))
    return [text.decode("utf-8", "ignore") for text in texts]


def embeddings_of(base: Path, ids: Sequence[int]) -> Any:
    """A model's embeddings of these tokens, float32 [n, dim]."""
    table = models.load(base).tensors["embed"]
    size = len(table.data) // table.rows
    data = b"".join(bytes(table.data[id * size : (id + 1) * size]) for id in ids)
    return to_float32(replace(table, rows=len(ids), data=data))


def without_file(recipe: Recipe) -> Path | None:
    stated = recipe.data.augment_exclude
    return recipe.resolve(stated) if stated else None


def kept_out(recipe: Recipe) -> set[str]:
    """The words that augmentation must not use: those of a test of unseen words."""
    path = without_file(recipe)
    found = set(words(reading.read_text(path, DataError))) if path else set()
    if path and not found:
        raise DataError(f"{path}: holds no word; write one a line, or leave augment_exclude out")
    return found
