"""The seal stage: the tins that ship, with what they say of how they were made and how well they do."""

from __future__ import annotations

from pathlib import Path

from tinsmith.pipeline import sealing
from tinsmith.pipeline.naming import file_systems
from tinsmith.pipeline.sealing import Sealed
from tinsmith.pipeline.stage import Made, Reporter
from tinsmith.pipeline.stages.seal.inputs import Inputs


def make(inputs: Inputs, folder: Path, reporter: Reporter) -> Made[Sealed]:
    outputs = []
    for weights, source in inputs.tins.items():
        outputs.append(folder / source.name)
        named = file_systems(weights)
        metrics, facts = sealing.figures(inputs.systems, named), sealing.thresholds(inputs.systems, named)
        sealing.write(inputs.data, source, outputs[-1], inputs.ggufs[weights], metrics, facts)
    return Made(outputs, sealing.sealed(outputs))
