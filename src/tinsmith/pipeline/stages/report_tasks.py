"""The report stage of several tasks: report.json for programs, report.html for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinsmith.pipeline.pages import environment, write_report
from tinsmith.pipeline.prepared import Prepared
from tinsmith.pipeline.routing import NONE, OFF_TOPIC
from tinsmith.pipeline.stage import Made, Nothing, Reporter


@dataclass(frozen=True)
class Task:
    """folder: of the task's own run, whose report, where it is compared, has its training and worst answers;
    train: facts of its training."""

    data: Prepared
    folder: str
    is_compared: bool
    train: Mapping[str, Any]


@dataclass(frozen=True)
class Inputs:
    """stages: the record of each in run.json; machine, versions: of the run."""

    data: Prepared
    tasks: Mapping[str, Task]
    is_compared: bool
    stages: Mapping[str, Mapping[str, Any]]
    machine: Mapping[str, Any]
    versions: Mapping[str, str]

    def facts(self, stage: str) -> Any:
        return self.stages[stage]["facts"]


def make(inputs: Inputs, folder: Path, reporter: Reporter) -> Made[Nothing]:
    document = compose(inputs)
    return Made(write_report(folder, document, html(document)), Nothing())


def compose(inputs: Inputs) -> dict[str, Any]:
    base, recipe, stages = inputs.data.base, inputs.data.recipe, inputs.stages
    made = {**stages["build"]["outputs"], **stages["seal"]["outputs"]}
    built, routers = inputs.facts("build"), inputs.facts("adapters")["routers"]
    names = [name for weights, tin in built["tins"].items() for name in (built["ggufs"][weights], tin)]
    facts = inputs.facts("data")
    return {
        "name": recipe.name,
        "formats": list(built["tins"]),
        "base": {key: getattr(base, key) for key in ("name", "sha256", "bytes", "family", "license")},
        "tasks": {name: _task(inputs, name, one) for name, one in inputs.tasks.items()},
        "router": {
            weights: {**chosen, "fit": routers[weights]}
            for weights, chosen in inputs.facts("evaluate")["router"].items()
        },
        "compared": inputs.is_compared,
        "data": {"counts": facts["counts"], "inputs_in_train": facts["test_inputs_in_train"]},
        "recipe": {"file": recipe.path.name, "sha256": recipe.sha256},
        "files": {name: {key: made[name][key] for key in ("sha256", "bytes")} for name in names},
        "verify": inputs.facts("verify")["checks"],
        "seconds": {name: record["seconds"] for name, record in stages.items()},
        "machine": inputs.machine,
        "versions": inputs.versions,
    }


def _task(inputs: Inputs, name: str, one: Task) -> dict[str, Any]:
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


def html(document: Mapping[str, Any]) -> str:
    """One page that needs nothing else. Raises MissingExtraError without jinja2."""
    template = environment().get_template("tasks.html.j2")
    tables = {weights: confusion(chosen) for weights, chosen in document["router"].items()}
    return template.render(report=document, confusion=tables)


def confusion(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The router's choices as a table: rows expected, columns chosen."""
    counts = {(pair["expected"], pair["chosen"]): pair["count"] for pair in chosen["confusion"]}
    rows = [*chosen["tasks"], *([OFF_TOPIC] if chosen["off_topic"] else [])]
    most = {row: sum(count for (name, _), count in counts.items() if name == row) for row in rows}
    return {"rows": rows, "columns": [*chosen["tasks"], NONE], "counts": counts, "most": most}
