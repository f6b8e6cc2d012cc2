"""New examples beside those that an adapter learned."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Mapping, Sequence

from tinsmith.data.readers import Example
from tinsmith.data.splits import normalize
from tinsmith.errors import DataError
from tinsmith.pipeline.prepared import New
from tinsmith.pipeline.recipe.values import Recipe
from tinsmith.pipeline.update import sources

HELD_OUT = 10  # one of so many new examples is held out where none are given to validate on
Splits = Mapping[str, Sequence["Example"]]


def joined(recipe: Recipe, old: Splits, given: Splits) -> tuple[dict[str, list[Example]], New]:
    """The splits with the new examples after the old ones. An old example with a new one's input is dropped.
    given: the new examples, by the keys of FILES."""
    rows, validation, file = list(given["data"]), list(given.get("validation", ())), sources(recipe)["data"]
    if not validation:
        if len(rows) < 2:
            what = "holds one example, and one is held out to validate on; give more, or [update] validation"
            raise DataError(f"{file}: {what}")
        chance, count = random.Random(f"{recipe.train.seed}/held out"), max(1, len(rows) // HELD_OUT)
        before = {normalize(row.prompt) for split in ("train", "validation") for row in old[split]}
        # A corrected answer is learned, where there are others to hold out.
        fresh = [place for place, row in enumerate(rows) if normalize(row.prompt) not in before]
        places = set(chance.sample(fresh if len(fresh) >= count else range(len(rows)), count))
        validation = [row for place, row in enumerate(rows) if place in places]
        rows = [row for place, row in enumerate(rows) if place not in places]
    known = {normalize(row.prompt) for row in (*rows, *validation)}
    kept, validated = (
        [row for row in old[split] if normalize(row.prompt) not in known] for split in ("train", "validation")
    )
    if not kept:
        raise DataError(f"{file}: has every input of the training examples; nothing is left to replay")
    if old["validation"] and not validated:
        raise DataError(
            f"{file}: with what is validated on it has every input of the old validation examples; none is "
            "left to measure what is forgotten by"
        )
    test = list(given.get("test", ()))
    tests = [*old["test"], *test]
    if test:
        tests = [*_parts(old["test"], "old"), *_parts(test, "new")]
    splits = {"train": [*kept, *rows], "validation": [*validated, *validation], "test": tests}
    return splits, New(len(rows), len(validation), len(test), len(old["train"]) - len(kept))


def _parts(rows: Sequence[Example], age: str) -> Iterator[Example]:
    """The examples with their age in the names of their parts."""
    for row in rows:
        yield dataclasses.replace(row, part=f"{age}_{row.part}" if row.part else age)


def said(new: New) -> str:
    replaced = f"; {new.replaced} old ones with their inputs give way" if new.replaced else ""
    return f"data: {new.train:,} new examples, {new.validation:,} more to validate on{replaced}"
