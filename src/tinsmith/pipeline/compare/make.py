"""`tinsmith compare`: asks every system, trains what is tuned, decides, writes the figures and the page."""

from __future__ import annotations

import dataclasses
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinsmith.data.readers import Example
from tinsmith.data.splits import SPLITS
from tinsmith.evaluate import doubling, metrics
from tinsmith.evaluate.baselines import stratified
from tinsmith.evaluate.doubling import Doubling
from tinsmith.evaluate.page import environment
from tinsmith.pipeline import engine
from tinsmith.pipeline.compare import asking, change, document, settings, weak
from tinsmith.pipeline.compare.asking import Answered, Shown, Table, Tin
from tinsmith.pipeline.compare.document import Chosen
from tinsmith.pipeline.compare.settings import FORMAT, Settings
from tinsmith.pipeline.engine import BUILD, BUILD_OF_BASE, DATA, prepared
from tinsmith.pipeline.examples import write_examples
from tinsmith.pipeline.measuring import FOLDER, Asking
from tinsmith.pipeline.prepared import split_name
from tinsmith.pipeline.recipe.values import Recipe
from tinsmith.pipeline.run import Record, Run, machine, opened, versions
from tinsmith.pipeline.stages.build import Built
from tinsmith.system import files
from tinsmith.system.progress import Display

BASES, TUNED, LEARNED = "bases", "tuned", "data/learned"  # in the folder of a comparison
STAGES = (DATA, BUILD_OF_BASE)
JSON, PAGE = "compare.json", "compare.html"


def default_folder(recipe: Recipe) -> Path:
    return Path("runs") / f"{recipe.name}-compare"


def compare(
    recipe: Recipe, folder: Path | None, display: Display, *, small: bool = False
) -> tuple[Path, dict[str, Any]]:
    """The page's path, and what compare.json holds. folder: default runs/<name>-compare; small: fewer items and
    examples, for a first answer in minutes.

    Raises InputError for a recipe that there is nothing to compare of, and what its stages raise."""
    settings.check(recipe)
    environment()  # before anything is trained
    begun = time.monotonic()
    chosen, labels = settings.settings(recipe, small), settings.labels(recipe)
    first = settings.of_base(recipe, next(iter(labels.values())))
    with opened(first, folder or default_folder(recipe), display) as run:
        run.update(STAGES, [BUILD_OF_BASE.name])
        table = asked(run, recipe, labels, chosen)
        found = composed(run, table, recipe, labels, chosen)
        found["seconds"] = round(time.monotonic() - begun, 1)
        files.write_text(run.folder / JSON, json.dumps(found, indent=2, ensure_ascii=False) + "\n")
        files.write_text(run.folder / PAGE, document.html(found))
        return run.folder / PAGE, found


def asked(run: Run, recipe: Recipe, labels: dict[str, str], chosen: Settings) -> Table:
    """Every system's answers. Prompted systems go first: their faults show before the training."""
    data = prepared(run)
    items = stratified(data.examples("test"), chosen.items)
    most = train_sizes(run, chosen)[-1]
    table = Table(
        Asking(data, run.folder / FOLDER, run.reporter), items, Shown(data, train_examples(run, most))
    )
    first = next(iter(labels))
    for label, model in labels.items():
        tin = base_tin(run) if label == first else other_base(run, label, model)
        table.local(asking.PROMPTED, tin, label, "" if label == first else f"@{label}")
    table.copied()
    for stated in recipe.compare.answers:
        table.given(stated)
    for endpoint in recipe.compare.endpoint:
        table.endpoint(endpoint)
    for label, model in labels.items():
        tin = tuned(run, recipe, label, model, most, chosen)
        table.local(asking.TUNED, tin, label, "" if label == first else f"@{label}")
    return table


def composed(
    run: Run, table: Table, recipe: Recipe, labels: dict[str, str], chosen: Settings
) -> dict[str, Any]:
    picked, made = document.chosen(table), run.done(DATA).facts
    curve, then = learning(run, table, picked, recipe, labels, chosen)
    groups = weak.worst(table.task, table.items, picked.tuned, table.shown.train)
    what = change.of_recipe(table, table.data.examples("test"), chosen.items)
    changed, told = change.measure(table, what, picked.roles)
    decided = document.decided(table, picked, then, groups, changed)
    return {
        "name": recipe.name,
        "task": recipe.data.task,
        "verdict": {**dataclasses.asdict(decided), "words": str(decided)},
        "best_prompted": picked.prompted.system.name,
        "tuned": picked.tuned.system.name,
        "systems": document.entries(table, picked),
        "curve": {"points": curve, "doubling": dataclasses.asdict(then)},
        "changed": told,
        "worst": [dataclasses.asdict(group) for group in groups],
        "alone": weak.alone(table.items, shown_alone(table, picked)),
        "test": {
            "items": len(table.items),
            "of": made.counts["test"],
            "inputs_in_train": made.test_inputs_in_train,
            "resamples": metrics.RESAMPLES,
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
    run: Run, table: Table, picked: Chosen, recipe: Recipe, labels: dict[str, str], chosen: Settings
) -> tuple[list[dict[str, Any]], Doubling]:
    """The learning curve of the best tuned system, and the expected gain of twice the examples."""
    best = picked.tuned
    label = best.system.base
    assert label
    sizes = train_sizes(run, chosen)
    found: dict[int, Answered] = {}
    for size in sizes[:-1]:
        tin = tuned(run, recipe, label, labels[label], size, chosen)
        name = f"{best.system.name}-{size}"
        outcome = table.outcome(best.system, tin, table.items, table.shown, name)
        aside = dataclasses.replace(table, answered={})
        found[size] = aside.add(best.system, outcome, training_seconds=tin.seconds)
    found[sizes[-1]] = best
    keys = ("exact", "exact_interval", "training_seconds")
    points = [{"examples": size, **{key: one.entry[key] for key in keys}} for size, one in found.items()]
    right = {size: one.right for size, one in found.items()}
    return points, doubling.next_doubling(right)


def shown_alone(table: Table, picked: Chosen) -> dict[str, Answered]:
    """The systems to compare item by item: the best of each kind, and all that ran elsewhere."""
    elsewhere = [one for one in table.answered.values() if one.system.kind in asking.ELSEWHERE]
    found = [picked.prompted, *(one for one in picked.roles.values() if one), *elsewhere]
    return {one.system.name: one for one in found}


def base_tin(run: Run) -> Tin:
    """The base of a run whose BUILD_OF_BASE is up to date."""
    return _tin(run, run.done(BUILD_OF_BASE))


def other_base(run: Run, label: str, model: str) -> Tin:
    """Another base, on the data of the comparison."""
    data = prepared(run)
    splits = {split: data.files[split_name(split)] for split in SPLITS}
    recipe = settings.of_copies(settings.of_base(run.recipe, model), splits, data.labels())
    with opened(recipe, run.folder / BASES / label, run.display) as one:
        one.update(STAGES, [BUILD_OF_BASE.name])
        return base_tin(one)


def tuned(run: Run, recipe: Recipe, label: str, model: str, count: int, chosen: Settings) -> Tin:
    """A base trained on the first `count` examples of a seeded order, so that the smaller sets are parts of the
    larger ones. recipe: the user's."""
    splits = _splits(run, count, chosen)
    stated = settings.of_training(recipe, model, splits, prepared(run).labels(), chosen)
    run.display.line(f"{label} on {count:,} examples:")
    made = engine.make(stated, run.folder / TUNED / label / str(count), run.display, BUILD.name)
    trained = made.done(engine.TRAIN)
    seconds = trained.facts.seconds_in_all(trained.seconds)
    return dataclasses.replace(_tin(made, made.done(BUILD)), seconds=seconds, examples=count)


def train_sizes(run: Run, chosen: Settings) -> list[int]:
    """The sizes of the training sets, rising; the last is all examples, or as many as the settings allow."""
    whole = prepared(run).counts["train"]
    most = min(whole, chosen.examples or whole)
    return [*(size for size in chosen.sizes if size < most), most]


def train_examples(run: Run, count: int) -> list[Example]:
    """The first `count` training examples of a seeded order; all of them in their own order."""
    rows = prepared(run).examples("train")
    return list(rows) if count >= len(rows) else _drawn(rows, count, run.recipe.train.seed)


def _splits(run: Run, count: int, chosen: Settings) -> dict[str, Path]:
    every = prepared(run).examples("validation")
    validation = _drawn(every, chosen.validation or len(every), run.recipe.train.seed)
    splits = {"train": train_examples(run, count), "validation": validation}
    paths = {"test": prepared(run).files[split_name("test")]}
    for split, rows in splits.items():
        paths[split] = run.folder / LEARNED / f"{split}-{len(rows)}.jsonl"
        write_examples(paths[split], rows)
    return paths


def _drawn(rows: Sequence[Example], count: int, seed: int) -> list[Example]:
    order = list(rows)
    random.Random(seed).shuffle(order)
    return order[:count]


def _tin(run: Run, built: Record[Built]) -> Tin:
    path = next(iter(engine.unsealed(run, built).values()))
    return Tin(path, engine.by_name(built)[path.name], path.stat().st_size)
