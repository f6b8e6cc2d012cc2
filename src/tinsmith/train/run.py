"""Runs training by a method, with a learning rate that is given, chosen or searched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tinsmith.errors import MissingExtraError
from tinsmith.system import files
from tinsmith.train import methods
from tinsmith.train.events import Event, TrainResult
from tinsmith.train.job import Job
from tinsmith.train.steps import together
from tinsmith.train.steps.trainee import PRODUCTS


def train(name: str, job: Job, on_event: Callable[[Event], None] = lambda event: None) -> TrainResult:
    """Trains by the named method, and writes the result of the best validation to the method's folder in
    job.out_dir.

    The same job and machine give the same result, whether or not training was interrupted: training
    resumes from the job's checkpoint in job.out_dir, and discards another job's. Raises InputError or DataError
    for an unsuitable job, MissingExtraError without training's libraries."""
    method, job = methods.by_name(name), replace(job, method=name)
    method.check(job)
    try:
        import peft  # noqa: F401
        import torch
        import transformers  # noqa: F401

        from tinsmith.train.model.network import quiet
        from tinsmith.train.trials import rates, seeds
    except ImportError as error:
        raise MissingExtraError(error.name or "torch", "train") from None
    if job.options.threads:
        torch.set_num_threads(job.options.threads)
    with quiet():
        job, trials = rates.searched(method, job, on_event) if job.options.search else (job, [])
        runs = seeds.several if job.options.seeds > 1 else seeds.one
        result = replace(runs(method, job, on_event), trials=trials)
    if not trials:
        rates.forget(job)
    if job.kept_dir is None and together.number() == 0:
        files.remove(job.out_dir / PRODUCTS)  # another training is measured anew
    return result
