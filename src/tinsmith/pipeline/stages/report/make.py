"""The report stage of one task or of several: report.json for programs, report.html for people."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinsmith.data.readers import Example
from tinsmith.evaluate.answers import Answer, read_answers
from tinsmith.evaluate.metrics import RESAMPLES, SEED
from tinsmith.evaluate.naming import constrained, shipped
from tinsmith.evaluate.systems import Outcome
from tinsmith.evaluate.systems import grades as grades_of
from tinsmith.pipeline import update
from tinsmith.pipeline.measuring import answers_path, baseline_items, test_items
from tinsmith.pipeline.pages import write_report
from tinsmith.pipeline.prepared import Prepared
from tinsmith.pipeline.stage import Made, Nothing, Reporter
from tinsmith.pipeline.stages.report.findings import changes, confusion, shown, worst
from tinsmith.pipeline.stages.report.page import html, html_of_tasks
from tinsmith.train import methods


@dataclass(frozen=True)
class Records:
    """stages: the record of each in run.json; machine, versions: of the run."""

    data: Prepared
    stages: Mapping[str, Mapping[str, Any]]
    machine: Mapping[str, Any]
    versions: Mapping[str, str]

    def facts(self, stage: str) -> Any:
        return self.stages[stage]["facts"]

    def common(self) -> dict[str, Any]:
        """What reports of one task and of several have alike; `files` are the GGUFs and the sealed tins."""
        recipe, base, built = self.data.recipe, self.data.base, self.facts("build")
        made = {**self.stages["build"]["outputs"], **self.stages["seal"]["outputs"]}
        names = [name for weights, tin in built["tins"].items() for name in (built["ggufs"][weights], tin)]
        keys = ("name", "sha256", "bytes", "family", "license")
        return {
            "name": recipe.name,
            "base": {key: getattr(base, key) for key in keys} if recipe.base else None,
            "recipe": {"file": recipe.path.name, "sha256": recipe.sha256},
            "files": {name: {key: made[name][key] for key in ("sha256", "bytes")} for name in names},
            "verify": self.facts("verify")["checks"],
            "machine": self.machine,
            "versions": self.versions,
        }


@dataclass(frozen=True)
class Inputs(Records):
    """seconds: of each stage; answers: the folder of the systems' answers."""

    seconds: Mapping[str, float]
    answers: Path


@dataclass(frozen=True)
class Task:
    """folder: of the task's own run, whose report, where it is compared, has its training and worst answers;
    train: facts of its training."""

    data: Prepared
    folder: str
    is_compared: bool
    train: Mapping[str, Any]


@dataclass(frozen=True)
class TasksInputs(Records):
    tasks: Mapping[str, Task]
    is_compared: bool


def digests(inputs: Records) -> dict[str, Any]:
    stages = {name: [one["inputs_sha256"], one["outputs"]] for name, one in inputs.stages.items()}
    return {"recipe": inputs.data.recipe.sha256, "stages": stages}


def make(inputs: Inputs, folder: Path, reporter: Reporter) -> Made[Nothing]:
    document = compose(inputs)
    return Made(write_report(folder, document, html(document)), Nothing())


def make_of_tasks(inputs: TasksInputs, folder: Path, reporter: Reporter) -> Made[Nothing]:
    document = compose_of_tasks(inputs)
    return Made(write_report(folder, document, html_of_tasks(document)), Nothing())


def compose(inputs: Inputs) -> dict[str, Any]:
    """report.json: each system's figures; `errors` and `confusion` are those of the `headline` system."""
    data, recipe = inputs.data, inputs.data.recipe
    headline = headline_system(recipe.build.formats)
    items, answers = test_items(data), read_answers(answers_path(inputs.answers, headline))
    known, systems = data.labels(), all_systems(inputs)
    grades = grades_of(data.task, Outcome(answers, None), items, known)
    method = methods.by_name(recipe.train.method)
    return {
        **inputs.common(),
        "task": recipe.data.task,
        "headline": headline,
        "systems": systems,
        "test": test_facts(inputs, items),
        "parameters": data.base.parameters,
        "data": {
            "counts": data.counts,
            "divided": inputs.facts("data")["divided"],
            "sha256": {**data.model_data, "test": data.split_digest("test")},
            "learned": method.needs[0][1],
        },
        "command": shlex.join(["tinsmith", "make", recipe.path.name, *update.flags(recipe)]),
        "augmentation": augmented(inputs),
        "train": {**inputs.facts("train"), "share": method.share, "unit": method.unit},
        "seeds": {"train": recipe.train.seed, "eval": SEED},
        "seconds": inputs.seconds,
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


def compose_of_tasks(inputs: TasksInputs) -> dict[str, Any]:
    facts, routers = inputs.facts("data"), inputs.facts("adapters")["routers"]
    return {
        **inputs.common(),
        "formats": list(inputs.facts("build")["tins"]),
        "tasks": {name: _task(inputs, name, one) for name, one in inputs.tasks.items()},
        "router": {
            weights: {**chosen, "fit": routers[weights]}
            for weights, chosen in inputs.facts("evaluate")["router"].items()
        },
        "compared": inputs.is_compared,
        "data": {"counts": facts["counts"], "inputs_in_train": facts["test_inputs_in_train"]},
        "seconds": {name: record["seconds"] for name, record in inputs.stages.items()},
    }


def _task(inputs: TasksInputs, name: str, one: Task) -> dict[str, Any]:
    recipe = one.data.recipe
    return {
        "task": recipe.data.task,
        "folder": one.folder,
        "counts": one.data.counts,
        "systems": inputs.facts("evaluate")["tasks"][name],
        "compared": one.is_compared,
        "train": {
            "method": recipe.train.method,
            **{key: one.train[key] for key in ("note", "steps", "seconds")},
        },
    }
