"""The adapters stage: the built base with each task's adapter beside it, and the router that chooses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinsmith.pipeline import build, stages, training
from tinsmith.pipeline.build import Built
from tinsmith.pipeline.data import Data
from tinsmith.pipeline.run import Made, Record, Run
from tinsmith.pipeline.skills import data
from tinsmith.system import files
from tinsmith.train import adapter_tin

FOLDER = "skilled"  # of a run: the tins, before they are measured


@dataclass(frozen=True)
class Needs:
    data: Record[Data]
    build: Record[Built]


@dataclass(frozen=True)
class Skilled:
    """tins: file names by the preset of their weights, in FOLDER."""

    tins: dict[str, str]


def tins(run: Run, made: Record[Skilled]) -> dict[str, Path]:
    """By the preset of their weights."""
    return {weights: run.folder / FOLDER / name for weights, name in made.facts.tins.items()}


def inputs(run: Run, needs: Needs) -> dict[str, Any]:
    return {
        "built": build.digests(needs.build),
        "adapters": {name: one.done(stages.TRAIN).digests for name, one in data.runs(run).items()},
    }


def make(run: Run, needs: Needs) -> Made[Skilled]:
    outputs = []
    for source in build.unsealed(run, needs.build).values():
        outputs.append(run.folder / FOLDER / source.name)
        add(run, source, outputs[-1])
    return Made(outputs, Skilled(dict(needs.build.facts.tins)))


def add(run: Run, source: Path, out: Path) -> None:
    """Writes a tin with the adapters of all tasks."""
    files.make_folder(out.parent)
    for name, one in data.runs(run).items():
        adapter_tin.add(source, name, one.folder / training.folder_name(one.recipe), out, "Q8_0")
        source = out
