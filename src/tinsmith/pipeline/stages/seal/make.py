"""The seal stage: the tins that ship, with what they say of how they were made and how well they do.

The weights and all else that was built and verified stay as they are, byte for byte.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from tinsmith.evaluate.naming import NAMED, file_systems
from tinsmith.formats import tin
from tinsmith.formats.sbom import Source
from tinsmith.pipeline import beside, contents
from tinsmith.pipeline.prepared import Prepared
from tinsmith.pipeline.stage import Made, Nothing, Reporter
from tinsmith.pipeline.stages.seal.inputs import Inputs, TasksInputs
from tinsmith.pipeline.stages.seal.outputs import figures, flat, task_figures, thresholds
from tinsmith.system import files


def make(inputs: Inputs, folder: Path, reporter: Reporter) -> Made[Nothing]:
    outputs = []
    for weights, source in inputs.tins.items():
        outputs.append(folder / source.name)
        named = file_systems(weights)
        metrics, facts = figures(inputs.systems, named), thresholds(inputs.systems, named)
        write(inputs.data, source, outputs[-1], inputs.ggufs[weights], metrics, facts)
    return Made(outputs, Nothing())


def make_of_tasks(inputs: TasksInputs, folder: Path, reporter: Reporter) -> Made[Nothing]:
    from tinsmith.train.adapters import router_tin

    outputs = []
    for weights, source in inputs.tins.items():
        outputs.append(folder / source.name)
        adapted = inputs.adapted[weights]
        work = adapted.with_suffix(".sealing")
        write(
            inputs.data,
            source,
            work,
            inputs.ggufs[weights],
            flat(inputs.systems, inputs.router[weights], weights),
            {},
        )
        found = task_figures(inputs.systems, weights)
        facts = {
            name: {"metrics": found[name], **thresholds(inputs.systems[name], file_systems(weights, NAMED))}
            for name in inputs.tasks
        }
        beside.add(inputs.tasks, work, work, facts)
        chooser = router_tin.held_by(adapted)
        assert chooser  # the adapters stage put it there
        router_tin.put(work, chooser, work, inputs.router[weights])
        files.replace(work, outputs[-1])
    return Made(outputs, Nothing())


def write(
    data: Prepared, source: Path, out: Path, digest: str, metrics: dict[str, Any], facts: dict[str, Any]
) -> None:
    """A tin with its metrics, the recipe and the whole bill of materials. digest: of its GGUF; facts: more of
    its manifest."""
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
