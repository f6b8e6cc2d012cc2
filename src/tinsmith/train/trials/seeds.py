"""Runs of the same job with different seeds: validation keeps the best of them, or their mean.

Adapters with the same start lie in one basin. The mean of their updates is often better than any of them
(Wortsman et al., "Model soups", arXiv 2203.05482).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import fmean

import torch

from tinsmith.system.files import atomic_folder
from tinsmith.train.events import Event, Seeded, Started, TrainResult
from tinsmith.train.job import Job
from tinsmith.train.methods import Method
from tinsmith.train.steps import agreement, together
from tinsmith.train.steps.loop import Loop
from tinsmith.train.steps.trainee import Trainee
from tinsmith.train.trials import finished

FOLDER = "seeds"  # in a run's: a folder for each seed
RESULT = "result.json"


def one(method: Method, job: Job, tell: Callable[[Event], None]) -> TrainResult:
    return Loop(_begun(method, job), job.options, job.out_dir, tell).finish()


def _begun(method: Method, job: Job) -> Trainee:
    """All runs of a job start with the same weights; their random numbers differ from then on."""
    torch.manual_seed(job.options.seed)
    trainee = method.trainee(job)
    if job.runtime and not job.options.offset:
        agreement.check(trainee, job.spec, job.runtime)
    torch.manual_seed(job.options.run_seed)
    return trainee


def several(method: Method, job: Job, tell: Callable[[Event], None]) -> TrainResult:
    """job.options.seeds runs, the first with the job's own seed. Each has its own folder, which stays:
    completed runs are not repeated, after a kill or with more seeds."""
    count, results, rows = job.options.seeds, [], []
    for offset in range(count):
        options = replace(job.options, seeds=1, offset=offset)
        folder = job.out_dir / FOLDER / str(options.run_seed)
        run = replace(job, options=options, out_dir=folder, kept_dir=job.kept)
        results.append(_finished(method, run, tell))
        best = results[-1].best
        rows.append(Seeded(options.run_seed, best.loss, best.exact, results[-1].curve))
        tell(rows[-1])
    options = replace(job.options, seeds=1, mean_of=count)
    mean = method.trainee(replace(job, options=options, kept_dir=job.kept))
    mean.prepare(tell)
    is_first = together.number() == 0
    if is_first:  # only the first process writes files
        mean.take_mean([result.folder for result in results])
    mean.network.model.eval()
    rows.append(Seeded(None, *together.from_first(mean.validate() if is_first else (0.0, 0.0))))
    tell(rows[-1])
    takes_mean = _is_better(rows[-1], rows[:-1])
    first = max(range(count), key=lambda number: (rows[number].exact, -rows[number].loss))
    kept = count if takes_mean else first
    if is_first and takes_mean:
        mean.keep()
    elif is_first:
        with atomic_folder(mean.result, replaces=mean.marker) as fresh:
            shutil.copytree(results[first].folder, fresh, dirs_exist_ok=True)
    rows[kept] = replace(rows[kept], kept=True)
    tell(rows[kept])
    return replace(
        results[first],
        folder=mean.result,
        note=f"{results[first].note}; {_words(method, job, rows[kept], mean)}",
        tokens=sum(result.tokens for result in results),
        seconds=sum(result.seconds for result in results),
        seeds=rows,
    )


def _finished(method: Method, job: Job, tell: Callable[[Event], None]) -> TrainResult:
    """The run's result, trained now or read from an earlier one."""
    seed, path = job.options.run_seed, job.out_dir / RESULT

    def told(event: Event) -> None:
        tell(replace(event, seed=seed) if isinstance(event, Started) else event)

    trainee = _begun(method, job)
    return finished.once(path, trainee.digest, lambda: Loop(trainee, job.options, job.out_dir, told).finish())


def _is_better(mean: Seeded, others: Sequence[Seeded]) -> bool:
    """True if no barrier separates the runs: the loss of their mean is below the mean of their losses (Frankle
    et al., "Linear Mode Connectivity", arXiv 1912.05671). Compared with the least loss,
    the mean would lose to luck: a few hundred answers cannot tell which run is best."""
    return mean.loss < fmean(row.loss for row in others)


def _words(method: Method, job: Job, kept: Seeded, mean: Trainee) -> str:
    """The report's words for the kept run or mean."""
    count = job.options.seeds
    if kept.seed is not None:
        return f"seed {kept.seed}, the best of {count} seeds"
    runs = getattr(mean, "mean_of", count)  # more if the run continues a mean
    grown = f", an adapter of rank {runs * job.options.rank}" if "rank" in method.keys else ""
    return f"the mean of {count} seeds{grown}"
