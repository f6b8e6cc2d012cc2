"""The report stage: report.json for programs, report.html for people; the same figures in both."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith.evaluate.answers import Answer, read_answers
from tinsmith.evaluate.metrics import RESAMPLES, SEED
from tinsmith.evaluate.naming import constrained, shipped
from tinsmith.evaluate.systems import Outcome
from tinsmith.evaluate.systems import grades as grades_of
from tinsmith.pipeline import update
from tinsmith.pipeline.measuring import answers_path, baseline_items, test_items
from tinsmith.pipeline.pages import write_report
from tinsmith.pipeline.stage import Made, Nothing, Reporter
from tinsmith.pipeline.stages.report.findings import changes, confusion, shown, worst
from tinsmith.pipeline.stages.report.inputs import Inputs
from tinsmith.pipeline.stages.report.page import html
from tinsmith.train import methods

if TYPE_CHECKING:
    from tinsmith.data.readers import Example


def make(inputs: Inputs, folder: Path, reporter: Reporter) -> Made[Nothing]:
    document = compose(inputs)
    return Made(write_report(folder, document, html(document)), Nothing())


def compose(inputs: Inputs) -> dict[str, Any]:
    """report.json: each system's figures; `errors` and `confusion` are those of the `headline` system."""
    data, recipe = inputs.data, inputs.data.recipe
    headline = headline_system(recipe.build.formats)
    items, answers = test_items(data), read_answers(answers_path(inputs.answers, headline))
    known, systems = data.labels(), all_systems(inputs)
    grades = grades_of(data.task, Outcome(answers, None), items, known)
    method = methods.by_name(recipe.train.method)
    return {
        "name": recipe.name,
        "task": recipe.data.task,
        "headline": headline,
        "systems": systems,
        "test": test_facts(inputs, items),
        "base": inputs.base_facts() if recipe.base else None,
        "parameters": data.base.parameters,
        "data": {
            "counts": data.counts,
            "divided": inputs.facts("data")["divided"],
            "sha256": {**data.model_data, "test": data.split_digest("test")},
            "learned": method.needs[0][1],
        },
        "recipe": {"file": recipe.path.name, "sha256": recipe.sha256},
        "command": shlex.join(["tinsmith", "make", recipe.path.name, *update.flags(recipe)]),
        "augmentation": augmented(inputs),
        "train": {**inputs.facts("train"), "share": method.share, "unit": method.unit},
        "files": inputs.files(),
        "verify": inputs.facts("verify")["checks"],
        "seeds": {"train": recipe.train.seed, "eval": SEED},
        "seconds": inputs.seconds,
        "machine": inputs.machine,
        "versions": inputs.versions,
        "confusion": confusion(data.task, grades, items),
        "errors": worst(data.task, grades, items, answers),
        "constraint": constraint(inputs, items, systems),
        "front": inputs.facts("build")["front"],
    }


def all_systems(inputs: Inputs) -> dict[str, dict[str, Any]]:
    """The systems' entries; the bytes of a shipped one are those of its sealed tin."""
    systems = {**inputs.facts("baselines")["systems"], **inputs.facts("evaluate")["systems"]}
    for weights, tin in inputs.facts("build")["tins"].items():
        for name in (shipped(weights), constrained(shipped(weights))):
            if name in systems:
                systems[name] = {**systems[name], "bytes": inputs.stages["seal"]["outputs"][tin]["bytes"]}
    return systems


def test_facts(inputs: Inputs, items: Sequence[Example]) -> dict[str, Any]:
    settings = inputs.data.recipe.eval
    return {
        "items": len(items),
        "parts": dict(sorted(Counter(example.part for example in items if example.part).items())),
        "baseline_items": {name: len(baseline_items(inputs.data, name)) for name in settings.baselines},
        "inputs_in_train": inputs.facts("data")["test_inputs_in_train"],
        "shots": settings.shots,
        "max_tokens": settings.max_tokens,
        "resamples": RESAMPLES,
    }


def augmented(inputs: Inputs) -> dict[str, Any] | None:
    """The examples that were made, counted, and a few of them; None where there are none."""
    counted = inputs.facts("data")["augmentation"]
    if counted is None:
        return None
    rows = [row for variant in inputs.data.augmented() for row in variant]
    return {**counted, "examples": shown(rows, inputs.data.examples("train"))}


def constraint(inputs: Inputs, items: Sequence[Example], systems: dict[str, Any]) -> dict[str, Any] | None:
    """What the constraint changed, by system; None where the recipe states none."""
    data = inputs.data
    if not data.constraint:
        return None

    def answers_of(name: str) -> list[Answer]:
        return read_answers(answers_path(inputs.answers, name))

    known = data.labels()
    by_system = {
        name: changes(data.task, known, items, answers_of(name), answers_of(constrained(name)))
        for name in systems
        if constrained(name) in systems
    }
    forbidden = inputs.facts("data")["test_outputs_forbidden"]
    return {**data.constraint, "test_outputs_forbidden": forbidden, "changes": by_system}


def headline_system(formats: Sequence[str]) -> str:
    """The file whose errors the report shows: Q8_0 where it is built, else Q4_0, else the first."""
    preferred = [name for name in ("Q8_0", "Q4_0") if name in formats] or list(formats)
    return shipped(preferred[0])
