"""The report's plot of training: the run that was kept, and all others beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tinsmith.evaluate import curve

BLOCKS = 60  # that a run beside the kept one is drawn in: the mean of each

Points = Sequence[Mapping[str, Any]]


def of_training(train: Mapping[str, Any]) -> curve.Drawing | None:
    """Of report.json's `train`: losses over steps. The series: trials of learning rates ("trial 0.002"), runs
    of other seeds ("run 6"), the adapter for low-precision files behind the one that it continues ("run qat"),
    and of the run that `curve` is of, "loss", "validation_loss" and "text_loss"."""
    validated = [
        {"step": row["step"], "validation_loss": row["loss"], "text_loss": row.get("text_loss")}
        for row in train["validations"]
    ]
    rows: list[Mapping[str, Any]] = [*train["curve"], *validated]
    labels: dict[str, str] = {}
    # A rate's later trial goes on from its earlier one, and has all of its steps.
    trials = sorted(train.get("trials") or (), key=lambda row: (row["learning_rate"], row["steps"]))
    for rate, points in {row["learning_rate"]: row.get("curve", ()) for row in trials}.items():
        labels[f"trial {rate:g}"] = f"rate {rate:g}"
        rows += _means(points, f"trial {rate:g}")
    own = ""
    for run in train.get("seeds") or ():
        if run["curve"] == train["curve"]:
            own = f"seed {run['seed']}"
        elif run["curve"]:
            labels[f"run {run['seed']}"] = f"seed {run['seed']}"
            rows += _means(run["curve"], f"run {run['seed']}")
    qat = train.get("qat") or {}
    if points := qat.get("curve"):
        first = max((row["step"] for row in train["curve"]), default=0)
        labels["run qat"] = f"for {qat['format']}"
        rows += _means([{**point, "step": first + point["step"]} for point in points], "run qat")
    if own:
        labels["loss"] = own
    series = [name for name in labels if name != "loss"]
    return curve.draw(rows, (*series, "loss", "validation_loss", "text_loss"), labels=labels)


def of_rollouts(train: Mapping[str, Any]) -> curve.Drawing | None:
    """Of report.json's `train`, where answers were drawn: means over each step's, over steps."""
    names = {"reward": "reward", "tokens": "tokens", "entropy": "entropy", "aside": "set aside"}
    rows = [{**row, "aside": row["alike"] / row["prompts"]} for row in train.get("rollouts") or ()]
    return curve.draw(rows, tuple(names), labels=names)


def _means(points: Points, name: str) -> list[dict[str, float]]:
    """Of at most BLOCKS blocks of steps, the mean at the middle."""
    size = -(-len(points) // BLOCKS) or 1
    blocks = [points[begin : begin + size] for begin in range(0, len(points), size)]
    return [
        {
            "step": sum(point["step"] for point in block) / len(block),
            name: sum(point["loss"] for point in block) / len(block),
        }
        for block in blocks
    ]
