"""What the tests of updates share: rows that an adapter knows and new ones, and a plan to learn these."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.train.tiny_training import PAIRS, encode
from tinsmith.data.readers import Example
from tinsmith.spec import Spec
from tinsmith.train import run
from tinsmith.train.events import CONTINUED, RETRAINED, TrainResult
from tinsmith.train.job import Job
from tinsmith.train.options import TrainOptions
from tinsmith.train.update import Plan

ROWS = [Example(first + second, f"{i % 7}") for i, (first, second) in enumerate(PAIRS)]
OLD, NEW = ROWS[:15], ROWS[15:]


def make_plan(spec: Spec, learned: Path, out: Path, options: TrainOptions) -> Plan:
    """learned: an adapter that knows the old rows."""
    job = Job(spec, NEW, ROWS, options, out, encode, start=learned, known=OLD)
    whole = Job(spec, ROWS, ROWS, options, out, encode)
    sets = {"old test": OLD, "new test": NEW, "old validation": OLD, "new validation": NEW}
    return Plan(job, whole, "always", sets, {CONTINUED: "digest", RETRAINED: "other"})


def train_one(names: list[str]) -> Callable[[str, Job], TrainResult]:
    def one(name: str, job: Job) -> TrainResult:
        names.append(name)
        return run.train("lora", job)

    return one
