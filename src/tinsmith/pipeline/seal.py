"""The seal stage: the tins that ship, with what they say of how they were made and how well they do.

The weights and all else that was built and verified stay as they are, byte for byte.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinsmith.formats import tin
from tinsmith.formats.sbom import Source
from tinsmith.pipeline import build, contents, data
from tinsmith.pipeline.build import Built
from tinsmith.pipeline.data import Data
from tinsmith.pipeline.measure import Measured, constrained, shipped
from tinsmith.pipeline.run import Made, Record, Run, Stage
from tinsmith.system import files

# Of a system in report.json. Times are left out: they are a machine's, and no two runs would give one file.
FIGURES = ("items", "valid", "function", "exact", "equivalent", "exact_interval", "parts")


@dataclass(frozen=True)
class Needs:
    data: Record[Data]
    build: Record[Built]
    evaluate: Record[Measured]


@dataclass(frozen=True)
class Sealed:
    """bytes: of each tin, by file name."""

    bytes: dict[str, int]


def inputs(run: Run, needs: Needs) -> dict[str, Any]:
    every = {weights: thresholds(needs.evaluate, weights) for weights in needs.build.facts.tins}
    sure = {weights: held for weights, held in every.items() if held}
    return {
        "built": build.digests(needs.build),
        "metrics": {weights: metrics(needs.evaluate, weights) for weights in needs.build.facts.tins},
        **({"sure": sure} if sure else {}),
        "test": needs.data.digests[data.split_name("test")],
        "recipe": run.recipe.sha256,
    }


def place_unsealed(run: Run, built: Record[Built], seal: Stage[Any, Sealed]) -> None:
    """Tins of a build that was not sealed yet, as they are, where those that ship will stand: what a run leaves
    that ends before."""
    digests, sealed = build.digests(built), run.record(seal)
    if sealed is not None and sealed.inputs.get("built") == digests and run.is_intact(sealed):
        return
    run.forget(seal)
    place(run, {path: digests[path.name] for path in build.unsealed(run, built).values()})


def place(run: Run, tins: Mapping[Path, str]) -> None:
    """tins: with their digests."""
    for path, digest in tins.items():
        target = run.folder / path.name
        if not target.exists() or files.sha256_file(target) != digest:
            with files.atomic_write(target) as file:
                file.write(files.map_file(path))
    run.note([run.folder / path.name for path in tins])


def metrics(measured: Record[Measured], weights: str) -> dict[str, dict[str, Any]]:
    """The figures of one file: `free`, and where it carries a constraint `constrained`."""
    systems = measured.facts.systems
    names = {"free": shipped(weights), "constrained": constrained(shipped(weights))}
    return {
        label: {key: systems[name][key] for key in FIGURES if key in systems[name]}
        for label, name in names.items()
        if name in systems
    }


def thresholds(measured: Record[Measured], weights: str) -> dict[str, Any]:
    """From which probability on one file's answers are given, as the logarithm: `free`, and `constrained` where
    it carries a constraint; empty where the recipe asks for none."""
    names = {"free": shipped(weights), "constrained": constrained(shipped(weights))}
    return chosen(measured.facts.systems, names)


def chosen(systems: Mapping[str, dict[str, Any]], names: Mapping[str, str]) -> dict[str, Any]:
    """The thresholds of the systems that are named by label."""
    held = {label: systems[name]["sure"] for label, name in names.items() if "sure" in systems.get(name, {})}
    if not held:
        return {}
    (error,) = {one["error"] for one in held.values()}
    return {"abstention": {"error": error, **{label: one["threshold"] for label, one in held.items()}}}


def make(run: Run, needs: Needs) -> Made[Sealed]:
    outputs = []
    for weights, source in build.unsealed(run, needs.build).items():
        outputs.append(run.folder / source.name)
        digest = needs.build.digests[needs.build.facts.ggufs[weights]]
        facts = thresholds(needs.evaluate, weights)
        write(run, needs.data, source, outputs[-1], digest, metrics(needs.evaluate, weights), facts)
    return Made(outputs, Sealed({path.name: path.stat().st_size for path in outputs}))


def write(
    run: Run,
    made: Record[Data],
    source: Path,
    out: Path,
    digest: str,
    figures: dict[str, Any],
    facts: dict[str, Any],
) -> None:
    """A tin with its metrics, the recipe and the whole bill of materials. digest: of its GGUF; facts: more of
    its manifest."""
    built = tin.Tin(source).manifest
    bill = dataclasses.replace(
        contents.bill(run, made),
        digest=digest,
        weights=built["weights"],
        family=built["family"],
        parameters=built["parameters"],
        recipe=Source(tin.RECIPE, run.recipe.sha256),
        metrics=figures,
    )
    tin.rewrite(
        source,
        out,
        {tin.BILL: bill.encode(), tin.RECIPE: run.recipe.path.read_bytes()},
        {
            "metrics": figures,
            "test": made.digests[data.split_name("test")],
            "recipe_sha256": run.recipe.sha256,
            **facts,
        },
    )
