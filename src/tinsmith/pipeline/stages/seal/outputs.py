"""The measurements in a sealed tin's manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinsmith.evaluate.naming import NAMED, ROUTED, file_systems, named

# Of a system in report.json. Times are left out: they are a machine's, and no two runs would give one file.
FIGURES = ("items", "valid", "function", "exact", "equivalent", "exact_interval", "parts")


def figures(systems: Mapping[str, Mapping[str, Any]], names: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The figures of the systems that are named by label."""
    return {
        label: {key: systems[name][key] for key in FIGURES if key in systems[name]}
        for label, name in names.items()
        if name in systems
    }


def thresholds(systems: Mapping[str, Mapping[str, Any]], names: Mapping[str, str]) -> dict[str, Any]:
    """The log probability from which a system's answers are given, by label; empty where the recipe asks for
    none."""
    found = {
        label: systems[name]["abstention"]
        for label, name in names.items()
        if "abstention" in systems.get(name, {})
    }
    if not found:
        return {}
    (error,) = {one["error"] for one in found.values()}
    return {"abstention": {"error": error, **{label: one["threshold"] for label, one in found.items()}}}


def task_figures(
    systems: Mapping[str, Mapping[str, dict[str, Any]]], weights: str
) -> dict[str, dict[str, dict[str, Any]]]:
    """The figures of one file with adapters by task: `unconstrained`, `constrained` and `routed`."""
    names = {**file_systems(weights, NAMED), "routed": named(ROUTED, weights)}
    return {task: figures(measured, names) for task, measured in systems.items()}


def flat(
    systems: Mapping[str, Mapping[str, dict[str, Any]]], router: Mapping[str, Any], weights: str
) -> dict[str, dict[str, Any]]:
    """The figures of all tasks and of the router, in one table."""
    found = {
        f"{task} {label}": entry
        for task, entries in task_figures(systems, weights).items()
        for label, entry in entries.items()
    }
    for name, share in (("router", router), ("router off topic", router["off_topic"])):
        if share:
            found[name] = {
                "items": share["prompts"],
                "exact": share["right"],
                "exact_interval": share["interval"],
            }
    return found
