"""The report stage of several tasks: report.json for programs, report.html for people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinsmith.evaluate import page
from tinsmith.pipeline.pages import write_report
from tinsmith.pipeline.routing import NONE, OFF_TOPIC
from tinsmith.pipeline.stage import Made, Nothing, Reporter
from tinsmith.pipeline.stages.report.inputs import Task, TasksInputs


def make_of_tasks(inputs: TasksInputs, folder: Path, reporter: Reporter) -> Made[Nothing]:
    document = compose(inputs)
    return Made(write_report(folder, document, html(document)), Nothing())


def compose(inputs: TasksInputs) -> dict[str, Any]:
    recipe, facts, routers = inputs.data.recipe, inputs.facts("data"), inputs.facts("adapters")["routers"]
    return {
        "name": recipe.name,
        "formats": list(inputs.facts("build")["tins"]),
        "base": inputs.base_facts(),
        "tasks": {name: _task(inputs, name, one) for name, one in inputs.tasks.items()},
        "router": {
            weights: {**chosen, "fit": routers[weights]}
            for weights, chosen in inputs.facts("evaluate")["router"].items()
        },
        "compared": inputs.is_compared,
        "data": {"counts": facts["counts"], "inputs_in_train": facts["test_inputs_in_train"]},
        "recipe": {"file": recipe.path.name, "sha256": recipe.sha256},
        "files": inputs.files(),
        "verify": inputs.facts("verify")["checks"],
        "seconds": {name: record["seconds"] for name, record in inputs.stages.items()},
        "machine": inputs.machine,
        "versions": inputs.versions,
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


def html(document: Mapping[str, Any]) -> str:
    tables = {weights: confusion(chosen) for weights, chosen in document["router"].items()}
    return page.draw("tasks", f"{document['name']}: tinsmith report", report=document, confusion=tables)


def confusion(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The router's choices as a table: rows expected, columns chosen."""
    counts = {(pair["expected"], pair["chosen"]): pair["count"] for pair in chosen["confusion"]}
    rows = [*chosen["tasks"], *([OFF_TOPIC] if chosen["off_topic"] else [])]
    most = {row: sum(count for (name, _), count in counts.items() if name == row) for row in rows}
    return {"rows": rows, "columns": [*chosen["tasks"], NONE], "counts": counts, "most": most}
