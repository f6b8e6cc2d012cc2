"""The seal stage of several tasks: the tins that ship, each adapter with its own figures and thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tinsmith.pipeline.measuring import constrained
from tinsmith.pipeline.run import Made, Record, Run, Stage
from tinsmith.pipeline.stages import adapters, build, seal
from tinsmith.pipeline.stages.adapters import Skilled
from tinsmith.pipeline.stages.build import Built
from tinsmith.pipeline.stages.data.make import Data
from tinsmith.pipeline.stages.evaluate_tasks import NAMED, ROUTED, Measured, named
from tinsmith.pipeline.stages.seal import FIGURES, Sealed
from tinsmith.system import files


@dataclass(frozen=True)
class Needs:
    data: Record[Data]
    build: Record[Built]
    adapters: Record[Skilled]
    evaluate: Record[Measured]


def inputs(run: Run, needs: Needs) -> dict[str, Any]:
    return {
        "skilled": needs.adapters.digests,
        "figures": {weights: flat(needs.evaluate.facts, weights) for weights in needs.adapters.facts.tins},
        "thresholds": {
            weights: {name: thresholds(needs.evaluate.facts, name, weights) for name in run.recipe.tasks}
            for weights in needs.adapters.facts.tins
        },
        "recipe": run.recipe.sha256,
    }


def place_unsealed(run: Run, made: Record[Skilled], stage: Stage[Any, Sealed]) -> None:
    """As of one task."""
    sealed = run.record(stage)
    if sealed is not None and sealed.inputs.get("skilled") == made.digests and run.is_intact(sealed):
        return
    run.forget(stage)
    seal.place(
        run,
        {path: made.digests[f"{adapters.FOLDER}/{path.name}"] for path in adapters.tins(run, made).values()},
    )


def make(run: Run, needs: Needs) -> Made[Sealed]:
    from tinsmith.train.adapters import router_tin

    outputs, measured = [], needs.evaluate.facts
    skilled = adapters.tins(run, needs.adapters)
    for weights, source in build.unsealed(run, needs.build).items():
        outputs.append(run.folder / source.name)
        work = skilled[weights].with_suffix(".sealing")
        digest = needs.build.digests[needs.build.facts.ggufs[weights]]
        seal.write(run, needs.data, source, work, digest, flat(measured, weights), {})
        found = figures(measured, weights)
        facts = {
            name: {"metrics": found[name], **thresholds(measured, name, weights)} for name in run.recipe.tasks
        }
        adapters.add(run, work, work, facts)
        chooser = router_tin.held_by(skilled[weights])
        assert chooser  # the adapters stage put it there
        router_tin.put(work, chooser, work, measured.router[weights])
        files.replace(work, outputs[-1])
    return Made(outputs, Sealed({path.name: path.stat().st_size for path in outputs}))


def figures(measured: Measured, weights: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Of one file by task: `free`, `constrained` and `routed`."""
    system = named(NAMED, weights)
    labels = {"free": system, "constrained": constrained(system), "routed": named(ROUTED, weights)}
    return {
        task: {
            label: {key: systems[name][key] for key in FIGURES if key in systems[name]}
            for label, name in labels.items()
            if name in systems
        }
        for task, systems in measured.tasks.items()
    }


def flat(measured: Measured, weights: str) -> dict[str, dict[str, Any]]:
    """Those of all tasks, and the router's."""
    found = {
        f"{task} {label}": entry
        for task, entries in figures(measured, weights).items()
        for label, entry in entries.items()
    }
    chosen = measured.router[weights]
    for name, share in (("router", chosen), ("router off topic", chosen["off_topic"])):
        if share:
            found[name] = {
                "items": share["prompts"],
                "exact": share["right"],
                "exact_interval": share["interval"],
            }
    return found


def thresholds(measured: Measured, task: str, weights: str) -> dict[str, Any]:
    """As seal.thresholds, of one adapter."""
    names = {"free": named(NAMED, weights), "constrained": constrained(named(NAMED, weights))}
    return seal.chosen(measured.tasks[task], names)
