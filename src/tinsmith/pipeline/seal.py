"""The seal stage: what a tin says of how it was made and how well it does, written into it once that is known.

The weights and all else that was built and verified stay as they are, byte for byte.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from tinsmith.formats import tin
from tinsmith.formats.sbom import Source
from tinsmith.pipeline import build
from tinsmith.pipeline.measure import constrained
from tinsmith.pipeline.run import Made, Run

# Of a system in report.json. Times are left out: they are a machine's, and no two runs would give one file.
FIGURES = ("items", "valid", "function", "exact", "equivalent", "exact_interval", "parts")


def seal_inputs(run: Run) -> dict[str, Any]:
    return {
        "built": run.digests("build"),
        "metrics": {weights: metrics(run, weights) for weights in run.facts("build")["tins"]},
        "test": run.digests("data")["data/test.jsonl"],
        "recipe": run.recipe.sha256,
    }


def metrics(run: Run, weights: str) -> dict[str, dict[str, Any]]:
    """The figures of one file: `free`, and where it carries a constraint `constrained`."""
    systems = run.facts("evaluate")["systems"]
    shipped = f"shipped_{weights.lower()}"
    names = {"free": shipped, "constrained": constrained(shipped)}
    return {
        label: {key: systems[name][key] for key in FIGURES if key in systems[name]}
        for label, name in names.items()
        if name in systems
    }


def seal(run: Run) -> Made:
    """Metrics, recipe and the whole bill of materials into each tin of the run."""
    recipe = run.recipe.path.read_bytes()
    outputs = []
    for weights, name in run.facts("build")["tins"].items():
        path = run.folder / name
        found = metrics(run, weights)
        facts = tin.Tin(path).manifest
        bill = dataclasses.replace(
            build.bill(run),
            digest=run.digests("build")[run.facts("build")["ggufs"][weights]],
            weights=weights,
            family=facts["family"],
            parameters=facts["parameters"],
            recipe=Source(tin.RECIPE, run.recipe.sha256),
            metrics=found,
        )
        tin.rewrite(
            path,
            {tin.BILL: bill.encode(), tin.RECIPE: recipe},
            {
                "metrics": found,
                "test": run.digests("data")["data/test.jsonl"],
                "recipe_sha256": run.recipe.sha256,
            },
        )
        outputs.append(path)
    return Made(outputs, {"bytes": {path.name: path.stat().st_size for path in outputs}})
