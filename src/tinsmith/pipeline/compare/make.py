"""`tinsmith compare`: asks every system, trains what is tuned, decides, writes the figures and the page."""

from __future__ import annotations

import dataclasses
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
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
from tinsmith.pipeline.compare.settings import FORMAT, Settings
from tinsmith.pipeline.engine import BUILD, BUILD_OF_BASE, DATA, prepared
from tinsmith.pipeline.examples import write_examples
from tinsmith.pipeline.measuring import FOLDER, Asking
from tinsmith.pipeline.prepared import Prepared, split_name
from tinsmith.pipeline.recipe.values import Recipe
from tinsmith.pipeline.run import Record, Run, machine, opened, versions
from tinsmith.pipeline.stages.build import Built
from tinsmith.system import files
from tinsmith.system.progress import Display

BASES, TUNED, LEARNED = "bases", "tuned", "data/learned"  # in the folder of a comparison
STAGES = (DATA, BUILD_OF_BASE)
JSON, PAGE = "compare.json", "compare.html"


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
    with opened(first, folder or Path("runs") / f"{recipe.name}-compare", display) as run:
        run.update(STAGES, [BUILD_OF_BASE.name])
        comparison = _Comparison(run, recipe, labels, chosen)
        found = comparison.composed(comparison.asked())
        found["seconds"] = round(time.monotonic() - begun, 1)
        files.write_text(run.folder / JSON, json.dumps(found, indent=2, ensure_ascii=False) + "\n")
        files.write_text(run.folder / PAGE, document.html(found))
        return run.folder / PAGE, found


@dataclass(frozen=True)
class _Comparison:
    """run: of the first base, whose BUILD_OF_BASE is up to date. recipe: the user's. labels: the bases."""

    run: Run
    recipe: Recipe
    labels: dict[str, str]
    chosen: Settings

    @cached_property
    def data(self) -> Prepared:
        return prepared(self.run)

    @cached_property
    def sizes(self) -> list[int]:
        """Of the training sets, rising; the last is all examples, or as many as the settings allow."""
        whole = self.data.counts["train"]
        most = min(whole, self.chosen.examples or whole)
        return [*(size for size in self.chosen.sizes if size < most), most]

    def asked(self) -> Table:
        """Every system's answers. Prompted systems go first: their faults show before the training."""
        run, most = self.run, self.sizes[-1]
        items = stratified(self.data.examples("test"), self.chosen.items)
        shown = Shown(self.data, self.train_examples(most))
        table = Table(Asking(self.data, run.folder / FOLDER, run.reporter), items, shown)
        suffixes = {label: f"@{label}" if place else "" for place, label in enumerate(self.labels)}
        for label, suffix in suffixes.items():
            table.local(asking.PROMPTED, self.other_base(label) if suffix else _base(run), label, suffix)
        table.copied()
        for stated in self.recipe.compare.answers:
            table.given(stated)
        for endpoint in self.recipe.compare.endpoint:
            table.endpoint(endpoint)
        for label, suffix in suffixes.items():
            table.local(asking.TUNED, self.tuned(label, most), label, suffix)
        return table

    def composed(self, table: Table) -> dict[str, Any]:
        recipe, picked, made = self.recipe, document.chosen(table), self.run.done(DATA).facts
        curve, then = self.learning(table, picked.tuned)
        groups = weak.worst(self.data.task, table.items, picked.tuned, table.shown.train)
        what = change.of_recipe(table, table.data.examples("test"), self.chosen.items)
        changed, told = change.measure(table, what, picked.roles)
        decided = document.decided(table, picked, then, groups, changed)
        # Item by item: the best of each kind, and all that ran elsewhere.
        elsewhere = [one for one in table.answered.values() if one.system.kind in asking.ELSEWHERE]
        best = [picked.prompted, *filter(None, picked.roles.values())]
        compared = {one.system.name: one for one in (*best, *elsewhere)}
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
            "alone": weak.alone(table.items, compared),
            "test": {
                "items": len(table.items),
                "of": made.counts["test"],
                "inputs_in_train": made.test_inputs_in_train,
                "resamples": metrics.RESAMPLES,
                "shots": recipe.eval.shots,
                "max_tokens": recipe.eval.max_tokens,
            },
            "train": {"examples": len(table.shown.train), "of": made.counts["train"]},
            "bases": self.labels,
            "format": FORMAT,
            "constraint": recipe.constraint.source,
            "machine_hour": recipe.compare.machine_hour,
            "settings": dataclasses.asdict(self.chosen),
            "recipe": {"file": recipe.path.name, "sha256": recipe.sha256},
            "machine": machine(),
            "versions": versions(),
        }

    def learning(self, table: Table, best: Answered) -> tuple[list[dict[str, Any]], Doubling]:
        """The learning curve of the best tuned system, and the expected gain of twice the examples."""
        assert best.system.base
        found: dict[int, Answered] = {}
        for size in self.sizes[:-1]:
            tin = self.tuned(best.system.base, size)
            name = f"{best.system.name}-{size}"
            outcome = table.outcome(best.system, tin, table.items, table.shown, name)
            aside = dataclasses.replace(table, answered={})
            found[size] = aside.add(best.system, outcome, training_seconds=tin.seconds)
        found[self.sizes[-1]] = best
        keys = ("exact", "exact_interval", "training_seconds")
        points = [{"examples": size, **{key: one.entry[key] for key in keys}} for size, one in found.items()]
        return points, doubling.next_doubling({size: one.right for size, one in found.items()})

    def other_base(self, label: str) -> Tin:
        """Another base, on the data of the comparison."""
        splits = {split: self.data.files[split_name(split)] for split in SPLITS}
        stated = settings.of_base(self.run.recipe, self.labels[label])
        recipe = settings.of_copies(stated, splits, self.data.labels())
        with opened(recipe, self.run.folder / BASES / label, self.run.display) as one:
            one.update(STAGES, [BUILD_OF_BASE.name])
            return _base(one)

    def tuned(self, label: str, count: int) -> Tin:
        """A base trained on the first `count` examples of a seeded order, so that the smaller sets are parts of
        the larger ones."""
        run, known = self.run, self.data.labels()
        stated = settings.of_training(self.recipe, self.labels[label], self.splits(count), known, self.chosen)
        run.display.line(f"{label} on {count:,} examples:")
        made = engine.make(stated, run.folder / TUNED / label / str(count), run.display, BUILD.name)
        trained = made.done(engine.TRAIN)
        seconds = trained.facts.seconds_in_all(trained.seconds)
        return dataclasses.replace(_tin(made, made.done(BUILD)), seconds=seconds, examples=count)

    def train_examples(self, count: int) -> Sequence[Example]:
        """The first `count` training examples of a seeded order; all of them in their own order."""
        rows = self.data.examples("train")
        return rows if count >= len(rows) else self.drawn(rows, count)

    def splits(self, count: int) -> dict[str, Path]:
        """The files of a training on `count` examples."""
        every = self.data.examples("validation")
        validation = self.drawn(every, self.chosen.validation or len(every))
        paths = {"test": self.data.files[split_name("test")]}
        for split, rows in (("train", self.train_examples(count)), ("validation", validation)):
            paths[split] = self.run.folder / LEARNED / f"{split}-{len(rows)}.jsonl"
            write_examples(paths[split], rows)
        return paths

    def drawn(self, rows: Sequence[Example], count: int) -> list[Example]:
        order = list(rows)
        random.Random(self.run.recipe.train.seed).shuffle(order)
        return order[:count]


def _base(run: Run) -> Tin:
    return _tin(run, run.done(BUILD_OF_BASE))


def _tin(run: Run, built: Record[Built]) -> Tin:
    path = next(iter(engine.unsealed(run, built).values()))
    return Tin(path, engine.by_name(built)[path.name], path.stat().st_size)
