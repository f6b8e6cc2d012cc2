"""What a recipe's [update] adds to a run: new examples beside those that its adapter learned, and what came."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith.data.readers import Example
from tinsmith.data.splits import normalize
from tinsmith.errors import DataError, InputError
from tinsmith.evaluate import metrics
from tinsmith.pipeline.examples import digest, division_before
from tinsmith.system import files
from tinsmith.train.adapters import peft_folder
from tinsmith.train.events import START, Score, Updated

if TYPE_CHECKING:
    from tinsmith.pipeline.recipe import Recipe
    from tinsmith.spec import Spec

HELD_OUT = 10  # one of so many new examples is held out where none are given to validate on
FILES = ("data", "validation", "test")  # the keys of [update] that are files of examples
RESAMPLES = 2000
Splits = Mapping[str, Sequence[Example]]


@dataclass(frozen=True)
class New:
    """Counts of new examples, the last of each split; replaced: old training examples that gave way, since a
    new one has their input."""

    train: int
    validation: int
    test: int
    replaced: int


def folder(recipe: Recipe) -> Path | None:
    """The adapter that training starts from; None where it begins one. Raises InputError for no such folder."""
    if recipe.update is None:
        return None
    path = recipe.resolve(recipe.update.adapter)
    if not (path / peft_folder.CONFIG).exists() or not (path / peft_folder.WEIGHTS).exists():
        raise InputError(
            f"{path}: holds no {peft_folder.CONFIG} and {peft_folder.WEIGHTS}; give an adapter's folder, such "
            "as the adapter/ of a run"
        )
    return path


def sources(recipe: Recipe) -> dict[str, Path]:
    """The files that [update] names, by its key."""
    named = {key: getattr(recipe.update, key) for key in FILES} if recipe.update else {}
    return {key: recipe.resolve(path) for key, path in named.items() if path}


def inputs(recipe: Recipe) -> dict[str, Any]:
    """What decides the data, beside the tables [base] and [data]."""
    digests = {key: digest(path) for key, path in sources(recipe).items()}
    start, division = folder(recipe), division_before(recipe)
    adapted = {"adapter": peft_folder.digest_of(start), "seed": recipe.train.seed} if start else {}
    divided = {"division": files.sha256_file(division)} if division else {}
    return {"update": {**adapted, **digests, **divided}} if adapted else {}


def joined(recipe: Recipe, old: Splits, given: Splits) -> tuple[dict[str, list[Example]], New]:
    """The splits with the new examples behind the old ones, but for those of the old whose inputs they answer
    anew. given: the new ones, by the keys of FILES."""
    rows, held = list(given["data"]), list(given.get("validation", ()))
    if not held:
        if len(rows) < 2:
            raise DataError(
                f"{sources(recipe)['data']}: holds one example, and one is held out to validate on; give "
                "more, or [update] validation"
            )
        chance, count = random.Random(f"{recipe.train.seed}/held out"), max(1, len(rows) // HELD_OUT)
        before = {normalize(row.asked) for split in ("train", "validation") for row in old[split]}
        # A corrected answer is learned, where there are others to hold out.
        fresh = [place for place, row in enumerate(rows) if normalize(row.asked) not in before]
        places = set(chance.sample(fresh if len(fresh) >= count else range(len(rows)), count))
        held = [row for place, row in enumerate(rows) if place in places]
        rows = [row for place, row in enumerate(rows) if place not in places]
    known = {normalize(row.asked) for row in (*rows, *held)}
    kept, validated = (
        [row for row in old[split] if normalize(row.asked) not in known] for split in ("train", "validation")
    )
    if not kept:
        raise DataError(
            f"{sources(recipe)['data']}: has every input of the training examples; nothing is left to replay"
        )
    if old["validation"] and not validated:
        raise DataError(
            f"{sources(recipe)['data']}: with what is validated on it has every input of the old validation "
            "examples; none is left to measure what is forgotten by"
        )
    test = list(given.get("test", ()))
    tests = [*old["test"], *test]
    if test:
        tests = [*_parts(old["test"], "old"), *_parts(test, "new")]
    splits = {"train": [*kept, *rows], "validation": [*validated, *held], "test": tests}
    return splits, New(len(rows), len(held), len(test), len(old["train"]) - len(kept))


def _parts(rows: Sequence[Example], age: str) -> Iterator[Example]:
    """The examples, their parts told apart by age."""
    for row in rows:
        yield dataclasses.replace(row, part=f"{age}_{row.part}" if row.part else age)


def said(new: New) -> str:
    replaced = f"; {new.replaced} old ones with their inputs give way" if new.replaced else ""
    return f"data: {new.train:,} new examples, {new.validation:,} more to validate on{replaced}"


def check(recipe: Recipe, spec: Spec, tools: Sequence[Any] | None) -> None:
    """Raises InputError or FormatError for an adapter that is not one of this base and template. spec: with the
    template that is trained under; tools: those that it lists."""
    from tinsmith.chat.chat_template import literal
    from tinsmith.train.beginning import start

    path = folder(recipe)
    if path:
        start.check(path, spec, None if tools is None else literal(list(tools)))


def asked_as_trained(recipe: Recipe) -> Recipe:
    """The recipe, its prompts as they are where it goes on from an adapter that was trained so."""
    from tinsmith.chat.chat_template import is_spelled

    path = folder(recipe)
    template = peft_folder.template(path) if path else None
    return recipe if template is None or is_spelled(template) else recipe.without_quoted_input()


def flags(recipe: Recipe) -> list[str]:
    """What the command line says of it, or could say in place of the recipe; files by their names alone."""
    if recipe.update is None:
        return []
    named = {"--from": recipe.update.adapter, "--data": recipe.update.data}
    words = [word for flag, path in named.items() if path for word in (flag, Path(path).name)]
    return [*words, "--retrain", recipe.update.retrain]


def check_folder(recipe: Recipe, own: Path) -> None:
    """Raises InputError where training would replace the adapter that it starts from. own: the run's folder."""
    path = folder(recipe)
    if path and files.is_inside(path, own):
        raise InputError(
            f"{path}: lies in {own}, where training would replace it; give another folder with --out"
        )


def lines(updated: Updated) -> Iterator[str]:
    """What came of it, in words."""
    seconds = ", ".join(f"{name} in {taken:,.0f} s" for name, taken in updated.seconds.items())
    yield f"update: kept what was {updated.kept} ({seconds})"
    for name in updated.scores[START]:
        changed = updated.scores[updated.kept][name]
        before = updated.scores[START][name]
        yield (
            f"update: {name}: {before.exact:.1%} before, {changed.exact:.1%} after ({interval(changed)}), "
            f"{changed.lost} of {changed.items} lost, {changed.gained} gained"
        )


def interval(score: Score) -> str:
    low, high = bounds(score.exact, score.items)
    return f"95 % between {low:.1%} and {high:.1%}"


def bounds(exact: float, items: int) -> tuple[float, float]:
    """The 95 % interval of a share of so many answers."""
    return metrics.interval(round(exact * items), items, RESAMPLES, 0)
