"""A second adapter for low-precision files: quantization-aware training continues the first one under the
errors of the lowest-precision file alone.

A single adapter that half of the steps prepare for these errors costs the other files answers
(docs/decisions/quantization-aware-adapter.md).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tinsmith.quant.model import Feedback
from tinsmith.quant.presets import Mix
from tinsmith.train.events import TrainResult
from tinsmith.train.job import Job

FOLDER = "qat"  # in a run's
SHARE = 0.25  # of the first adapter's epochs and rate: it has learned its task


@dataclass(frozen=True)
class Preparation:
    """preset: whose quantization errors training prepares for; feedback, feedback_of: as a Job has them."""

    preset: str | Mix
    feedback: Feedback | None = None
    feedback_of: str = ""


def job_of(job: Job, first: TrainResult, preparation: Preparation) -> Job:
    """The job that continues the first adapter, with the same examples."""
    options = job.options
    epochs = max(1, round(SHARE * options.epochs))
    return replace(
        job,
        start=first.folder,
        known=(),
        out_dir=job.out_dir / FOLDER,
        kept_dir=job.kept,
        feedback=preparation.feedback,
        feedback_of=preparation.feedback_of,
        options=replace(
            options,
            qat=preparation.preset,
            only_qat=True,
            epochs=epochs,
            learning_rate=SHARE * first.learning_rate,
            seeds=1,
            search=0.0,
            average=0.0,
        ),
    )
