"""report.html of one task or of several, made of report.json alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tinsmith import tasks
from tinsmith.evaluate import curve, page
from tinsmith.evaluate.naming import constrained
from tinsmith.pipeline.routing import NONE, OFF_TOPIC
from tinsmith.pipeline.update import bounds

LABELS = 12  # rows and columns of confused labels


def html(document: dict[str, Any]) -> str:
    baselines = [name for name in document["systems"] if name in document["test"]["baseline_items"]]
    return page.draw(
        "report",
        f"{document['name']}: tinsmith report",
        report=document,
        words=tasks.by_name(document["task"]).words,
        best=max(baselines, key=lambda name: document["systems"][name]["exact"], default=None),
        heat=heat(document["confusion"]),
        curves=losses(document["train"]),
        risks=risks(document),
        bounds=bounds,
    )


def losses(train: dict[str, Any]) -> curve.Drawing | None:
    """The training, validation and text losses over steps."""
    validated = [
        {"step": row["step"], "validation_loss": row["loss"], "text_loss": row.get("text_loss")}
        for row in train["validations"]
    ]
    return curve.draw([*train["curve"], *validated], ("loss", "validation_loss", "text_loss"))


def risks(document: dict[str, Any]) -> curve.Drawing | None:
    """Risk over coverage, in per cent, of the headline's test answers, unconstrained and constrained."""
    names = {"unconstrained": document["headline"], "constrained": constrained(document["headline"])}
    rows = [
        {"coverage": 100 * point["coverage"], label: 100 * point["risk"]}
        for label, name in names.items()
        for point in document["systems"].get(name, {}).get("abstention", {}).get("curve", ())
    ]
    return curve.draw(rows, tuple(names), "coverage")


def heat(pairs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The confused labels as a table: rows expected, columns answered, the most confused of each."""
    rows: Counter[str] = Counter()
    columns: Counter[str] = Counter()
    for pair in pairs:
        rows[pair["expected"]] += pair["count"]
        columns[pair["answered"]] += pair["count"]
    counts = {(pair["expected"], pair["answered"]): pair["count"] for pair in pairs}
    return {
        "rows": [name for name, _ in rows.most_common(LABELS)],
        "columns": [name for name, _ in columns.most_common(LABELS)],
        "counts": counts,
        "most": max(counts.values(), default=1),
    }


def html_of_tasks(document: dict[str, Any]) -> str:
    tables = {weights: confusion(chosen) for weights, chosen in document["router"].items()}
    return page.draw("tasks", f"{document['name']}: tinsmith report", report=document, confusion=tables)


def confusion(chosen: dict[str, Any]) -> dict[str, Any]:
    """The router's choices as a table: rows expected, columns chosen."""
    counts = {(pair["expected"], pair["chosen"]): pair["count"] for pair in chosen["confusion"]}
    rows = [*chosen["tasks"], *([OFF_TOPIC] if chosen["off_topic"] else [])]
    most = {row: sum(count for (name, _), count in counts.items() if name == row) for row in rows}
    return {"rows": rows, "columns": [*chosen["tasks"], NONE], "counts": counts, "most": most}
