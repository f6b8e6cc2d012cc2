"""`tinsmith compare`: asks every system, trains what is tuned, decides, writes the figures and the page."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith.evaluate import doubling
from tinsmith.evaluate.doubling import Doubling
from tinsmith.evaluate.verdict import Verdict, Worst
from tinsmith.pipeline import data
from tinsmith.pipeline.compare import asking, bases, change, document, page, settings, weak
from tinsmith.pipeline.compare.asking import Answered, Shown, Table
from tinsmith.pipeline.compare.bases import Tin
from tinsmith.pipeline.compare.document import Chosen
from tinsmith.pipeline.compare.settings import FORMAT, Settings
from tinsmith.pipeline.run import Run, machine, opened, versions
from tinsmith.pipeline.skills.stages import BUILD
from tinsmith.pipeline.stages import DATA
from tinsmith.system import files

if TYPE_CHECKING:
    from tinsmith.pipeline.recipe import Recipe
    from tinsmith.system.progress import Display

JSON, PAGE = "compare.json", "compare.html"


def default_folder(recipe: Recipe) -> Path:
    return Path("runs") / f"{recipe.name}-compare"


def compare(
    recipe: Recipe, folder: Path | None, display: Display, *, small: bool = False
) -> tuple[Path, dict[str, Any]]:
    """The page's path, and what compare.json holds. folder: default runs/<name>-compare; small: fewer items and
    examples, for a first answer in minutes.

    Raises InputError for a recipe that there is nothing to compare of, and what its stages raise.
    """
    settings.check(recipe)
    page.environment()  # before anything is trained
    begun = time.monotonic()
    chosen, labels = settings.settings(recipe, small), settings.labels(recipe)
    first = settings.of_base(recipe, next(iter(labels.values())))
    with opened(first, folder or default_folder(recipe), display) as run:
        run.update(bases.STAGES, [BUILD.name])
        table, tins = asked(run, recipe, labels, chosen)
        found = composed(table, tins, recipe, labels, chosen)
        found["seconds"] = round(time.monotonic() - begun, 1)
        files.write_text(run.folder / JSON, json.dumps(found, indent=2, ensure_ascii=False) + "\n")
        files.write_text(run.folder / PAGE, page.html(found))
        return run.folder / PAGE, found


def asked(run: Run, recipe: Recipe, labels: dict[str, str], chosen: Settings) -> tuple[Table, dict[str, Tin]]:
    """Every system's answers, and by system the tin that gave them. What is prompted goes first: it is quick,
    and a fault of it shows before the training."""
    items = asking.chosen(data.examples(run, "test"), chosen.items, recipe.eval.seed)
    most = bases.counts(run, chosen)[-1]
    table = Table(run, items, Shown(run, bases.learned(run, most)))
    tins: dict[str, Tin] = {}
    first = next(iter(labels))

    def keep(tin: Tin, before: Sequence[str]) -> None:
        tins.update({name: tin for name in table.answered if name not in before})

    for label, model in labels.items():
        tin = bases.as_it_is(run) if label == first else bases.other(run, label, model)
        before = list(table.answered)
        table.base(tin, label, "" if label == first else f"@{label}")
        keep(tin, before)
    table.copied()
    for stated in recipe.compare.answers:
        table.given(stated)
    for endpoint in recipe.compare.endpoint:
        table.endpoint(endpoint)
    for label, model in labels.items():
        tin = bases.tuned(run, recipe, label, model, most, chosen)
        before = list(table.answered)
        table.tuned(tin, label, "" if label == first else f"@{label}")
        keep(tin, before)
    return table, tins


def composed(
    table: Table, tins: dict[str, Tin], recipe: Recipe, labels: dict[str, str], chosen: Settings
) -> dict[str, Any]:
    run, picked = table.run, document.chosen(table)
    made = run.done(DATA).facts
    curve, then = learning(table, picked, recipe, labels, chosen)
    groups = weak.worst(table.task, table.items, picked.tuned, table.shown.train)
    what = change.of_recipe(table, data.examples(run, "test"), chosen.items)
    changed, told = change.measure(table, what, tins, picked.roles)
    decided = document.decided(table, picked, len(table.shown.train), then, groups, changed)
    return {
        "name": recipe.name,
        "task": recipe.data.task,
        "verdict": verdict_of(decided),
        "best_prompted": picked.prompted.system.name,
        "tuned": picked.tuned.system.name,
        "systems": document.entries(table, picked),
        "curve": {"points": curve, "doubling": dataclasses.asdict(then)},
        "changed": told,
        "worst": [group_of(group) for group in groups],
        "alone": weak.alone(table.items, shown_alone(table, picked)),
        "test": {
            "items": len(table.items),
            "of": made.counts["test"],
            "inputs_in_train": made.test_inputs_in_train,
            "resamples": recipe.eval.bootstrap,
            "shots": recipe.eval.shots,
            "max_tokens": recipe.eval.max_tokens,
        },
        "train": {"examples": len(table.shown.train), "of": made.counts["train"]},
        "bases": labels,
        "format": FORMAT,
        "constraint": recipe.constraint.source,
        "machine_hour": recipe.compare.machine_hour,
        "settings": dataclasses.asdict(chosen),
        "recipe": {"file": recipe.path.name, "sha256": recipe.sha256},
        "machine": machine(),
        "versions": versions(),
    }


def learning(
    table: Table, picked: Chosen, recipe: Recipe, labels: dict[str, str], chosen: Settings
) -> tuple[list[dict[str, Any]], Doubling]:
    """The tuned system that is spoken of, on fewer examples too, and what twice as many should bring."""
    run, tuned = table.run, picked.tuned
    label = tuned.system.base
    assert label
    sizes = bases.counts(run, chosen)
    found: dict[int, Answered] = {}
    for size in sizes[:-1]:
        tin = bases.tuned(run, recipe, label, labels[label], size, chosen)
        name = f"{tuned.system.name}-{size}"
        outcome = table.outcome(tuned.system, tin, table.items, table.shown, name)
        aside = Table(run, table.items, table.shown)
        found[size] = aside.add(tuned.system, outcome, {"training_seconds": tin.seconds})
    found[sizes[-1]] = tuned
    keys = ("exact", "exact_interval", "training_seconds")
    points = [{"examples": size, **{key: one.entry[key] for key in keys}} for size, one in found.items()]
    right = {size: one.right for size, one in found.items()}
    return points, doubling.next_doubling(right, recipe.eval.bootstrap, recipe.eval.seed)


def shown_alone(table: Table, picked: Chosen) -> dict[str, Answered]:
    """The systems that are told apart item by item: the best of each kind, and what ran elsewhere."""
    kinds = (asking.ENDPOINT, asking.ANSWERS)
    elsewhere = [one for one in table.answered.values() if one.system.kind in kinds]
    found = [picked.prompted, *(one for one in picked.roles.values() if one), *elsewhere]
    return {one.system.name: one for one in found}


def verdict_of(decided: Verdict) -> dict[str, Any]:
    return {**dataclasses.asdict(decided), "words": str(decided)}


def group_of(group: Worst) -> dict[str, Any]:
    return dataclasses.asdict(group)
