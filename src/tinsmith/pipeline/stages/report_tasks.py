"""The report stage of several tasks: report.json for programs, report.html for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tinsmith.pipeline import engine as stages
from tinsmith.pipeline import facts
from tinsmith.pipeline.run import Made, Nothing, Record, Run, machine, versions
from tinsmith.pipeline.stages import data_tasks as data
from tinsmith.pipeline.stages.adapters import Skilled
from tinsmith.pipeline.stages.build import Built
from tinsmith.pipeline.stages.data.make import Data
from tinsmith.pipeline.stages.evaluate_tasks import Measured, compared
from tinsmith.pipeline.stages.report import make as report
from tinsmith.pipeline.stages.report.make import Records, written
from tinsmith.pipeline.stages.router import NONE, OFF_TOPIC
from tinsmith.pipeline.stages.seal import Sealed
from tinsmith.pipeline.stages.verify import Verified


@dataclass(frozen=True)
class Needs(Records):
    data: Record[Data]
    build: Record[Built]
    verify: Record[Verified]
    adapters: Record[Skilled]
    evaluate: Record[Measured]
    seal: Record[Sealed]


def make(run: Run, needs: Needs) -> Made[Nothing]:
    document = compose(run, needs)
    return written(run, document, html(document))


def compose(run: Run, needs: Needs) -> dict[str, Any]:
    base, others = needs.data.facts.base, compared(run)
    made = {**needs.build.outputs, **needs.seal.outputs}
    built = needs.build.facts
    names = [name for weights, tin in built.tins.items() for name in (built.ggufs[weights], tin)]
    return {
        "name": run.recipe.name,
        "formats": list(built.tins),
        "base": {key: getattr(base, key) for key in ("name", "sha256", "bytes", "family", "license")},
        "tasks": {name: _task(name, one, needs, name in others) for name, one in data.runs(run).items()},
        "router": {
            weights: {**chosen, "fit": facts.to_json(needs.adapters.facts.routers[weights])}
            for weights, chosen in needs.evaluate.facts.router.items()
        },
        "compared": bool(others),
        "data": {"counts": needs.data.facts.counts, "inputs_in_train": needs.data.facts.test_inputs_in_train},
        "recipe": {"file": run.recipe.path.name, "sha256": run.recipe.sha256},
        "files": {name: {"sha256": made[name].sha256, "bytes": made[name].bytes} for name in names},
        "verify": needs.verify.facts.checks,
        "seconds": {name: record.seconds for name, record in needs.records.items()},
        "machine": machine(),
        "versions": versions(),
    }


def _task(name: str, one: Run, needs: Needs, compared: bool) -> dict[str, Any]:
    """folder: of the task's own run, whose report, where it is compared, has its training and its worst
    answers."""
    trained = one.done(stages.TRAIN)
    return {
        "task": one.recipe.data.task,
        "folder": f"{data.TASKS}/{name}",
        "counts": data.made(one).facts.counts,
        "systems": needs.evaluate.facts.tasks[name],
        "compared": compared,
        "train": {
            "method": one.recipe.train.method,
            "note": trained.facts.note,
            "steps": trained.facts.steps,
            "seconds": trained.facts.seconds,
        },
    }


def html(document: Mapping[str, Any]) -> str:
    """One page that needs nothing else. Raises MissingExtraError without jinja2."""
    template = report.environment().get_template("tasks.html.j2")
    tables = {weights: confusion(chosen) for weights, chosen in document["router"].items()}
    return template.render(report=document, confusion=tables)


def confusion(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The router's choices as a table: rows expected, columns chosen."""
    counts = {(pair["expected"], pair["chosen"]): pair["count"] for pair in chosen["confusion"]}
    rows = [*chosen["tasks"], *([OFF_TOPIC] if chosen["off_topic"] else [])]
    most = {row: sum(count for (name, _), count in counts.items() if name == row) for row in rows}
    return {"rows": rows, "columns": [*chosen["tasks"], NONE], "counts": counts, "most": most}


def tables(systems: Mapping[str, dict[str, Any]], router: Mapping[str, Any]) -> str:
    """What the tasks' systems and the router do, as aligned text, for a terminal."""
    parts = [f"{name}\n{report.table(found)}" for name, found in systems.items()]
    for weights, chosen in router.items():
        low, high = chosen["interval"]
        said = f"router {weights}: {report.percent(chosen['right'])} % of {chosen['prompts']} prompts right"
        said += f" ({report.percent(low)}–{report.percent(high)})"
        if off := chosen["off_topic"]:
            said += f", {report.percent(off['right'])} % of {off['prompts']} off topic refused"
        parts.append(said)
    return "\n\n".join(parts)
