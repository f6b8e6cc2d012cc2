"""Measures systems: their answers to the test items, and their entries in report.json.

All systems answer the same items in the same order, greedily."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinsmith.data.readers import Example
from tinsmith.evaluate import metrics, surety, systems
from tinsmith.evaluate.answers import Answer, Item, Job
from tinsmith.evaluate.baselines import Nearest, stratified
from tinsmith.evaluate.naming import TUNED
from tinsmith.evaluate.systems import Outcome
from tinsmith.pipeline import constraint
from tinsmith.pipeline.prepared import Model, Prepared
from tinsmith.pipeline.recipe.values import Recipe
from tinsmith.pipeline.stage import Reporter
from tinsmith.tasks import Grade

FOLDER = "eval"  # of a run: the answers
# Baselines that run no model; so they cost nothing, and answer every item.
FREE = ("nearest", "tfidf")
# Keys of [eval] that have to do with baselines alone.
BASELINE_KEYS = ("baselines", "baseline_limit", "shots")


@dataclass(frozen=True)
class Measured:
    """systems: each one's entry in report.json, by its name."""

    systems: dict[str, dict[str, Any]]


def test_items(data: Prepared) -> list[Example]:
    """The test examples that are evaluated: all, or `[eval] limit` of them, the parts evenly."""
    return stratified(data.examples("test"), data.recipe.eval.limit)


def baseline_items(data: Prepared, name: str) -> list[Example]:
    """The items of a baseline: `[eval] baseline_limit` of the test items, or all where they cost nothing."""
    limit = 0 if name in FREE else data.recipe.eval.baseline_limit
    return stratified(test_items(data), limit)


def eval_digests(recipe: Recipe) -> dict[str, Any]:
    """The values of [eval] that decide the answers of trained systems."""
    settings = dataclasses.asdict(recipe.eval)
    return {key: value for key, value in settings.items() if key not in BASELINE_KEYS}


def answers_path(folder: Path, system: str) -> Path:
    """The file with a system's answers. folder: of all answers."""
    return folder / f"{system}.jsonl"


@dataclass(frozen=True)
class Asking:
    """Asks systems about the run's data. folder: keeps their answers."""

    data: Prepared
    folder: Path
    reporter: Reporter

    def measured(
        self, name: str, model: Model, prompted: Sequence[Item], **options: Any
    ) -> tuple[Outcome, dict[str, Any]]:
        """A system's answers to the test items, and its entry in report.json. options: more fields of a Job."""
        items, abstains = test_items(self.data), self.data.recipe.eval.max_error is not None and name != TUNED
        outcome = self.ask(name, model, prompted, items, confidence=abstains, **options)
        entry = result(self.data, outcome, items)
        if abstains:
            entry["abstention"] = self._abstention(name, model, outcome, items, **options)
        return outcome, entry

    def _abstention(
        self, name: str, model: Model, outcome: Outcome, items: Sequence[Example], **options: Any
    ) -> dict[str, Any]:
        """The threshold for `[eval] max_error` by the validation set, and its effect there and on the test set.
        outcome, items: of the test set."""
        data = self.data
        validation = data.examples("validation")
        asked = [Item(data.conversation(example)) for example in validation]
        before = self.ask(f"{name}_validation", model, asked, confidence=True, **options)
        known = data.labels()
        seen = {}
        for split, answered, examples in (("validation", before, validation), ("test", outcome, items)):
            logs = [answer.log_probability for answer in answered.answers]
            right = [grade.exact for grade in systems.grades(data.task, answered, examples, known)]
            seen[split] = [log if log is not None else -math.inf for log in logs], right
        error = data.recipe.eval.max_error
        assert error is not None
        least = surety.threshold(*seen["validation"], error)
        return {
            "error": error,
            "threshold": least,
            **{
                split: {"items": len(pairs[1]), **dataclasses.asdict(surety.at(*pairs, least))}
                for split, pairs in seen.items()
            },
            "curve": [dataclasses.asdict(point) for point in surety.curve(*seen["test"])],
        }

    def ask(
        self, name: str, model: Model, items: Sequence[Item], weighed: Sequence[Example] = (), **options: Any
    ) -> Outcome:
        """weighed: the items' examples, if the task's measures are wanted; options: more fields of a Job."""
        settings, (path, digest), task = self.data.recipe.eval, model, self.data.task
        if weighed and task.weighs == "expected":
            pairs = zip(items, weighed, strict=True)
            items = [dataclasses.replace(item, expected=example.output) for item, example in pairs]
        if weighed and task.weighs == "options":
            train = self.data.examples("train") or self.data.examples("validation")
            options["options"] = task.options(example.output for example in train)
        job = Job(str(path), digest, settings.threads, settings.max_tokens, list(items), **options)
        with self.reporter.step(name, len(items)):
            return systems.ask(name, job, self.folder, self.reporter.progress)


Answering = Callable[[str], tuple[str, dict[str, float] | None]]  # without a model: a text, and option weights


def copying(retriever: Nearest) -> Answering:
    """Answers with the output of the nearest training example."""
    return lambda text: (retriever.nearest(text, 1)[0].output, None)


def timed(answer: Answering, items: Sequence[Example]) -> list[Answer]:
    answers = []
    for place, example in enumerate(items):
        start = time.perf_counter()
        text, options = answer(example.input)
        seconds = time.perf_counter() - start
        answers.append(Answer(place, text, [], 0, seconds, "stop", options=options))
    return answers


def figures(outcome: Outcome, items: Sequence[Example], grades: Sequence[Grade]) -> dict[str, Any]:
    """Grades and costs of a system's answers."""
    return {**metrics.summarize(grades, [example.part for example in items]), **systems.costs(outcome)}


def result(
    data: Prepared, outcome: Outcome, items: Sequence[Example], grades: Sequence[Grade] | None = None
) -> dict[str, Any]:
    """A system's entry in report.json. grades: in place of those of the answers."""
    known, pairs = data.labels(), list(zip(outcome.answers, items, strict=True))
    if grades is None:
        grades = systems.grades(data.task, outcome, items, known)
    return {
        **figures(outcome, items, grades),
        "task": data.task.measures(pairs, known, constraint.read_schema(data.recipe)),
    }
