"""The seal stage: the tins that ship, with their recipe, measures and licences.

The weights and all else that was built and verified stay as they are, byte for byte."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinsmith.evaluate.naming import NAMED, ROUTED, file_systems, named
from tinsmith.formats import tin
from tinsmith.formats.sbom import Source
from tinsmith.pipeline import beside, contents
from tinsmith.pipeline.prepared import Learned, Prepared
from tinsmith.pipeline.stage import Made, Nothing, Reporter
from tinsmith.system import files
from tinsmith.train.adapters import router_tin

# Of a system in report.json. Times are left out: they are a machine's, and no two runs would give one file.
FIGURES = ("items", "valid", "function", "exact", "equivalent", "exact_interval", "parts")


@dataclass(frozen=True)
class Inputs:
    """tins: by the preset of their weights; ggufs: the digest of each one's GGUF; built: digests of all built
    files, by name; systems: what was measured, by system."""

    data: Prepared
    tins: Mapping[str, Path]
    ggufs: Mapping[str, str]
    built: Mapping[str, str]
    systems: Mapping[str, dict[str, Any]]


@dataclass(frozen=True)
class TasksInputs:
    """tins: the built base by the preset of its weights; adapted: with its adapters; ggufs: the digest of each
    one's GGUF; digests: of the adapted files; systems: what was measured, by task and system; router: by
    weights."""

    data: Prepared
    tasks: Mapping[str, Learned]
    tins: Mapping[str, Path]
    adapted: Mapping[str, Path]
    ggufs: Mapping[str, str]
    digests: Mapping[str, str]
    systems: Mapping[str, Mapping[str, dict[str, Any]]]
    router: Mapping[str, dict[str, Any]]


def figures(systems: Mapping[str, Mapping[str, Any]], names: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The figures of the systems that are named by label."""
    return {
        label: {key: systems[name][key] for key in FIGURES if key in systems[name]}
        for label, name in names.items()
        if name in systems
    }


def thresholds(systems: Mapping[str, Mapping[str, Any]], names: Mapping[str, str]) -> dict[str, Any]:
    """The abstention threshold of a system, by label; empty where the recipe asks for none."""
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
            keys = {"items": "prompts", "exact": "right", "exact_interval": "interval"}
            found[name] = {key: share[of] for key, of in keys.items()}
    return found


def digests(inputs: Inputs) -> dict[str, Any]:
    systems, names = inputs.systems, {weights: file_systems(weights) for weights in inputs.tins}
    every = {weights: thresholds(systems, named) for weights, named in names.items()}
    stated = {weights: one for weights, one in every.items() if one}
    return {
        "built": dict(inputs.built),
        "metrics": {weights: figures(systems, named) for weights, named in names.items()},
        **({"abstention": stated} if stated else {}),
        "test": inputs.data.split_digest("test"),
        "recipe": inputs.data.recipe.sha256,
    }


def digests_of_tasks(inputs: TasksInputs) -> dict[str, Any]:
    return {
        "adapted": dict(inputs.digests),
        "figures": {
            weights: flat(inputs.systems, inputs.router[weights], weights) for weights in inputs.adapted
        },
        "thresholds": {
            weights: {
                name: thresholds(inputs.systems[name], file_systems(weights, NAMED)) for name in inputs.tasks
            }
            for weights in inputs.adapted
        },
        "recipe": inputs.data.recipe.sha256,
    }


def make(inputs: Inputs, folder: Path, reporter: Reporter) -> Made[Nothing]:
    outputs = []
    for weights, source in inputs.tins.items():
        outputs.append(folder / source.name)
        named = file_systems(weights)
        metrics, facts = figures(inputs.systems, named), thresholds(inputs.systems, named)
        write(inputs.data, source, outputs[-1], inputs.ggufs[weights], metrics, facts)
    return Made(outputs, Nothing())


def make_of_tasks(inputs: TasksInputs, folder: Path, reporter: Reporter) -> Made[Nothing]:
    outputs = []
    for weights, source in inputs.tins.items():
        outputs.append(folder / source.name)
        adapted = inputs.adapted[weights]
        work = adapted.with_suffix(".sealing")
        every = flat(inputs.systems, inputs.router[weights], weights)
        write(inputs.data, source, work, inputs.ggufs[weights], every, {})
        found = task_figures(inputs.systems, weights)
        facts = {
            name: {"metrics": found[name], **thresholds(inputs.systems[name], file_systems(weights, NAMED))}
            for name in inputs.tasks
        }
        beside.add(inputs.tasks, work, work, facts)
        chooser = router_tin.router_of(adapted)
        assert chooser  # the adapters stage put it there
        router_tin.put(work, chooser, work, inputs.router[weights])
        files.claim(outputs[-1])
        files.replace(work, outputs[-1])
    return Made(outputs, Nothing())


def write(
    data: Prepared, source: Path, out: Path, digest: str, metrics: dict[str, Any], facts: dict[str, Any]
) -> None:
    """A tin with metrics, recipe and bill of materials. digest: of its GGUF; facts: more of its manifest."""
    built, recipe = tin.Tin(source).manifest, data.recipe
    bill = dataclasses.replace(
        contents.bill(data),
        digest=digest,
        weights=built["weights"],
        family=built["family"],
        parameters=built["parameters"],
        recipe=Source(tin.RECIPE, recipe.sha256),
        metrics=metrics,
    )
    tin.rewrite(
        source,
        out,
        {tin.BILL: bill.encode(), tin.RECIPE: recipe.path.read_bytes()},
        {"metrics": metrics, "test": data.split_digest("test"), "recipe_sha256": recipe.sha256, **facts},
    )
