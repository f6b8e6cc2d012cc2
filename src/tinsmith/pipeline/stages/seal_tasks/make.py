"""The seal stage of several tasks: the tins that ship, each adapter with its own figures and thresholds."""

from __future__ import annotations

from pathlib import Path

from tinsmith.pipeline import beside, sealing
from tinsmith.pipeline.naming import NAMED, file_systems
from tinsmith.pipeline.sealing import Sealed
from tinsmith.pipeline.stage import Made, Reporter
from tinsmith.pipeline.stages.seal_tasks.inputs import Inputs
from tinsmith.system import files


def make(inputs: Inputs, folder: Path, reporter: Reporter) -> Made[Sealed]:
    from tinsmith.train.adapters import router_tin

    outputs = []
    for weights, source in inputs.tins.items():
        outputs.append(folder / source.name)
        skilled = inputs.skilled[weights]
        work = skilled.with_suffix(".sealing")
        sealing.write(
            inputs.data,
            source,
            work,
            inputs.ggufs[weights],
            sealing.flat(inputs.systems, inputs.router[weights], weights),
            {},
        )
        found = sealing.task_figures(inputs.systems, weights)
        facts = {
            name: {
                "metrics": found[name],
                **sealing.thresholds(inputs.systems[name], file_systems(weights, NAMED)),
            }
            for name in inputs.tasks
        }
        beside.add(inputs.tasks, work, work, facts)
        chooser = router_tin.held_by(skilled)
        assert chooser  # the adapters stage put it there
        router_tin.put(work, chooser, work, inputs.router[weights])
        files.replace(work, outputs[-1])
    return Made(outputs, sealing.sealed(outputs))
