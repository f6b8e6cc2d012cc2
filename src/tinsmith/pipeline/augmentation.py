"""Examples made from the recipe's: whether a run has them, how many, and what the report says of them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith import tasks
from tinsmith.data import image_changes
from tinsmith.data.augment import augment, origin
from tinsmith.data.image_sheet import sheet
from tinsmith.data.readers import Example
from tinsmith.data.slots import words
from tinsmith.data.splits import shared_inputs
from tinsmith.errors import DataError
from tinsmith.system import files, reading
from tinsmith.train import methods

if TYPE_CHECKING:
    from tinsmith.data.images import ImageSource
    from tinsmith.pipeline.recipe import Recipe
    from tinsmith.pipeline.run import Run

FILE = "data/augmented.jsonl"
SHEET = "data/pictures.png"  # some changed pictures
SHEET_WIDTH = 6  # of them in a row, with the first
SHOWN = 10  # made examples in a report


@dataclass(frozen=True)
class Augmentation:
    """rows: examples made; variants: of each example, at most; slots: values found that can be substituted, by
    argument; sources: values filled in, by where they are from; shared: of each split, how many inputs were
    made too; met: how many have a word that no training input has and a made one does; pictures: changes of
    pictures, by kind."""

    rows: int
    variants: int
    slots: dict[str, int]
    sources: dict[str, int]
    shared: dict[str, int]
    met: dict[str, int] = field(default_factory=dict)
    pictures: dict[str, int] = field(default_factory=dict)


def inputs(recipe: Recipe, has_pictures: bool) -> dict[str, Any]:
    """Beside the table [data], what decides which examples are made. has_pictures: whether the examples do."""
    if not (substitutes(recipe) or (has_pictures and picture_kinds(recipe))):
        return {}
    train, without = recipe.train, without_file(recipe)
    variants = [train.epochs, train.seeds, train.method, train.originals_once]
    decides: dict[str, Any] = {"seed": train.seed, "variants": variants}
    if without and without.exists():
        decides["without"] = files.sha256_file(without)
    return {"augment": decides}


def substitutes(recipe: Recipe) -> bool:
    """Where the recipe does not say, for each task whose outputs have values."""
    stated = recipe.data.augment
    if recipe.data.train is None or not methods.by_name(recipe.train.method).reads_examples:
        return False
    return tasks.by_name(recipe.data.task).has_values if stated is None else stated


def variants(recipe: Recipe, train: Sequence[Example]) -> int:
    """Of each of the examples: one for each time that it is learned."""
    made = substitutes(recipe) or (bool(picture_kinds(recipe)) and any(one.images for one in train))
    return recipe.passes(len(train), made) * recipe.train.seeds


def make(
    run: Run, splits: Mapping[str, Sequence[Example]], base: Path
) -> tuple[list[Example], Augmentation] | None:
    """The examples made, variant by variant, and the facts; None where there are none. base: a model's path."""
    recipe, train = run.recipe, splits["train"]
    rounds, rows = variants(recipe, train), list[Example]()
    slots: dict[str, int] = {}
    sources: dict[str, int] = {}
    if substitutes(recipe) and not _was_trained_without(run):
        task = tasks.by_name(recipe.data.task)
        made = augment(
            train,
            task.values,
            rounds,
            recipe.train.seed,
            labels=[task.label(example.output) for example in train],
            tokens=() if recipe.scratch else tokens_of(base),
            without=kept_out(recipe),
            embeddings=None if recipe.scratch else partial(embeddings_of, base),
        )
        rows += [example for variant in made.rows for example in variant]
        slots, sources = dict(sorted(made.slots.items())), dict(sorted(made.sources.items()))
    changed = changed_pictures(recipe, train)
    counts = Counter(kind for row in changed for kind in row.about["changed"])
    rows = sorted([*rows, *changed], key=lambda row: int(row.about["variant"]))
    if not rows:
        return None
    run.display.line(f"data: {len(rows):,} further examples made, in {FILE}")
    shared = {split: len(shared_inputs(rows, splits[split])) for split in ("validation", "test")}
    new = words_of(rows) - words_of(train)
    met = {split: sum(not new.isdisjoint(words(one.input)) for one in splits[split]) for split in shared}
    return rows, Augmentation(len(rows), rounds, slots, sources, shared, met, dict(counts))


def words_of(examples: Sequence[Example]) -> set[str]:
    """Numbers are none: what is made of them lies among those that were seen."""
    return {word for example in examples for word in words(example.input) if word.isalpha()}


def picture_kinds(recipe: Recipe) -> tuple[str, ...]:
    """What is done to pictures; everything, where the recipe does not say."""
    stated = recipe.data.augment_images
    if not methods.by_name(recipe.train.method).reads_examples:
        return ()
    return image_changes.KINDS if stated is None else stated


def changed_pictures(recipe: Recipe, train: Sequence[Example]) -> list[Example]:
    """In each variant every example that has pictures once, these changed as a camera would."""
    kinds, rows = picture_kinds(recipe), []
    for variant in range(variants(recipe, train) if kinds else 0):
        for number, example in enumerate(train, 1):
            if not example.images:
                continue
            rng = random.Random(f"{recipe.train.seed} {variant} {number} pictures")
            images = tuple(
                replace(picture, change=image_changes.draw(kinds, picture.size(), rng))
                for picture in example.images
            )
            changed = sorted({kind for picture in images for kind, _ in picture.change})
            about = {"from": number, "variant": variant, "changed": changed}
            rows.append(replace(example, images=images, about=about, where=None))
    return rows


def show_pictures(run: Run, rows: Sequence[Example], train: Sequence[Example]) -> list[Path]:
    """Draws some of the changed pictures, in a row each after the one that they were made of, for a person to
    look at."""
    made: dict[int, list[ImageSource]] = {}
    for row in rows:
        if "changed" in row.about:
            made.setdefault(row.about["from"], []).append(row.images[0])
    chosen = sorted(made)[:: max(1, -(-len(made) // SHOWN))]
    if not chosen:
        return []
    path = run.folder / SHEET
    lines = [[train[number - 1].images[0], *made[number][: SHEET_WIDTH - 1]] for number in chosen]
    with files.atomic_write(path) as file:
        sheet(lines).save(file, "PNG")
    run.display.line(f"data: some of the pictures that were changed are in {SHEET}")
    return [path]


def tokens_of(base: Path) -> list[str]:
    """The texts of a model's vocabulary, in order."""
    from tinsmith import models
    from tinsmith.tokenizer.packed import token_text

    tokenizer = models.load(base).tokenizer
    texts = (token_text(*pair, tokenizer.model) for pair in zip(tokenizer.tokens, tokenizer.types, strict=True))
    return [text.decode("utf-8", "ignore") for text in texts]


def embeddings_of(base: Path, ids: Sequence[int]) -> Any:
    """A model's embeddings of these tokens, float32 [n, dim]."""
    from tinsmith import models
    from tinsmith.train.tensors import to_float32

    table = models.load(base).tensors["embed"]
    size = len(table.data) // table.rows
    data = b"".join(bytes(table.data[id * size : (id + 1) * size]) for id in ids)
    return to_float32(replace(table, rows=len(ids), data=data))


def _was_trained_without(run: Run) -> bool:
    """Whether an earlier version trained this run, which is then to be kept where the recipe says nothing."""
    trained = run.state["stages"].get("train")
    if run.recipe.data.augment is not None or not trained or "augmented" in trained["inputs"]:
        return False
    run.display.line(
        "data: an earlier version of tinsmith trained this run, on the examples alone, and what it trained is "
        "kept; state augment = true in [data] to train with further ones"
    )
    return True


def without_file(recipe: Recipe) -> Path | None:
    stated = recipe.data.augment_exclude
    return recipe.resolve(stated) if stated else None


def kept_out(recipe: Recipe) -> set[str]:
    """The words that are not among the new ones: those of a test that asks what a model never met."""
    path = without_file(recipe)
    found = set(words(reading.read_text(path, DataError))) if path else set()
    if path and not found:
        raise DataError(f"{path}: holds no word; write one a line, or leave augment_exclude out")
    return found


def by_variant(rows: Sequence[Example]) -> list[list[Example]]:
    count = 1 + max((row.about["variant"] for row in rows), default=-1)
    return [[row for row in rows if row.about["variant"] == n] for n in range(count)]


def without_first(made: Sequence[Example], count: int) -> list[Example]:
    """Of the examples without the first `count`, which are then numbered anew, what was made."""
    numbered = ((row, origin(row)) for row in made)
    return [
        replace(row, about={**row.about, "from": number - count})
        for row, number in numbered
        if number and number > count
    ]


def shown(rows: Sequence[Example], train: Sequence[Example]) -> list[dict[str, Any]]:
    """A few made examples, evenly drawn, each beside the one it was made from."""
    made = [row for row in rows if "substituted" in row.about]
    chosen = made[:: max(1, -(-len(made) // SHOWN))]
    return [
        {
            "line": row.about["from"],
            "from": {"input": one.input, "output": one.output},
            "made": {"input": row.input, "output": row.output},
            "sources": sorted({one["source"] for one in row.about["substituted"]}),
        }
        for row in chosen
        for one in [train[row.about["from"] - 1]]
    ]
