"""The learning rate by search: short trials, of which each round keeps the better half.

Successive halving (Jamieson and Talwalkar, arXiv 1502.07943): every candidate takes a few steps of the run
itself, then the better ones take as many again, and the last two as many as all that. A trial rises to its rate
and stays there; what is compared is the validation loss of its averaged weights, which is where a falling rate
would end."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch

import tinsmith
from tinsmith import hub
from tinsmith.errors import FormatError, InputError
from tinsmith.system import reading
from tinsmith.system.files import claim, write_text
from tinsmith.system.from_json import from_json
from tinsmith.train.events import Event, Preparing, Trial, Trying, Validated
from tinsmith.train.job import Job
from tinsmith.train.methods import Method
from tinsmith.train.options import TrainOptions
from tinsmith.train.steps import agreement, together
from tinsmith.train.steps.loop import Loop
from tinsmith.train.steps.trainee import Trainee

FOLDER = "rates"  # in a run's: the trials under way
VALIDATED = 100  # validation examples that a trial is measured on
AVERAGE = 0.5  # the share of a trial's steps that its weights are averaged over
LEAST_STEPS = 6  # of a candidate, for a meaningful loss


class Rung(NamedTuple):
    """candidates: their number; steps: that each has taken in total at the end."""

    candidates: int
    steps: int


def rungs(run_steps: int, budget: float) -> list[Rung]:
    """The rungs that a budget, a share of the run's steps, allows: of seven candidates, five or three.

    Raises InputError where it allows no search at all.
    """
    for counts in ((7, 4, 2), (5, 3, 2), (3, 2)):
        # In units of the first rung's steps, which double from one to the next.
        cost = sum(count * max(1, 2 ** (place - 1)) for place, count in enumerate(counts))
        first = int(budget * run_steps / cost)
        if first >= LEAST_STEPS:
            return [Rung(count, first * 2**place) for place, count in enumerate(counts)]
    raise InputError(
        f'learning_rate = "search": trials of {budget:g} times the {run_steps} steps are too short for three '
        "candidates; give a learning rate"
    )


def candidates(middle: float, count: int) -> list[float]:
    """Rates around the middle, each twice the one before."""
    return [float(f"{middle * 2.0 ** (place - count // 2):.3g}") for place in range(count)]


def searched(method: Method, job: Job, on_event: Callable[[Event], None]) -> tuple[Job, list[Trial]]:
    """The job with the best rate, and every trial, best last. What was found earlier for the same base, data,
    method and options is taken from the cache; an interrupted search resumes."""
    if together.count() > 1:
        raise InputError(
            'learning_rate = "search": trials run in one process: run tinsmith without a launcher, and '
            "state the rate that it finds"
        )
    budget, seeds, version = job.options.search, job.options.seeds, tinsmith.__version__
    job = replace(job, options=replace(job.options, search=0.0, seeds=1))
    middle = replace(job, options=replace(job.options, learning_rate=None))
    torch.manual_seed(job.options.seed)
    trainee = method.trainee(middle)
    if job.runtime:
        agreement.check(trainee, job.spec, job.runtime)
        job = replace(job, runtime=None)
    plan = rungs(sum(map(len, trainee.epochs)), budget)
    rates = candidates(trainee.rate, plan[0].candidates)
    # Another version of tinsmith may train differently.
    name = f"{method.name}-{trainee.digest}-{budget:g}-{version}.json"
    cached = hub.cache_folder() / FOLDER / name
    trials = _read(cached)
    if trials is None:
        del trainee  # its memory: each trial has a network of its own
        # Another budget has its own checkpoints: its rungs have other numbers of steps.
        claim(job.out_dir / FOLDER)
        trials = _halved(method, job, job.out_dir / FOLDER / f"{budget:g}", rates, plan, on_event)
        write_text(cached, json.dumps([asdict(trial) for trial in trials]) + "\n")
    forget(job)
    best = replace(job.options, learning_rate=trials[-1].learning_rate, tried=len(rates), seeds=seeds)
    return replace(job, options=best), trials


def forget(job: Job) -> None:
    """Removes the trials' checkpoints, also those of an interrupted search."""
    folder = job.out_dir / FOLDER
    if folder.exists():
        claim(folder)
    shutil.rmtree(folder, ignore_errors=True)


def _halved(
    method: Method,
    job: Job,
    folder: Path,
    rates: Sequence[float],
    plan: Sequence[Rung],
    on_event: Callable[[Event], None],
) -> list[Trial]:
    trials: list[Trial] = []
    left = list(rates)
    more = [after - before for before, after in pairwise((0, *(rung.steps for rung in plan)))]
    count = sum(rung.candidates * steps for rung, steps in zip(plan, more, strict=True))
    trying = Trying(0, sum(rung.candidates for rung in plan), 0.0, 0, count)
    for rung, steps in zip(plan, more, strict=True):
        tried = []
        for rate in left[: rung.candidates]:
            trying = replace(trying, number=trying.number + 1, learning_rate=rate)
            tried.append(_try(method, job, folder / f"{rate:g}", rung.steps, trying, on_event))
            on_event(tried[-1])
            trying = replace(trying, done=trying.done + steps)
        tried.sort(key=lambda trial: (math.inf if trial.loss is None else trial.loss, trial.learning_rate))
        if tried[0].loss is None:
            raise InputError(
                f'learning_rate = "search": training diverges at every rate from {rates[0]:g} to '
                f"{rates[-1]:g}; state a smaller one"
            )
        trials += reversed(tried)
        left = [trial.learning_rate for trial in tried]
    return trials


def _try(
    method: Method, job: Job, folder: Path, steps: int, trying: Trying, tell: Callable[[Event], None]
) -> Trial:
    """Continues from the candidate's checkpoint of an earlier rung, if there is one."""
    rate = trying.learning_rate
    options = replace(job.options, learning_rate=rate, average=AVERAGE, qat=None)
    trial = replace(
        job, options=options, out_dir=folder, kept_dir=job.kept, validation=job.validation[:VALIDATED]
    )
    torch.manual_seed(options.seed)
    trainee = method.trainee(trial)
    trainee.validate_on(VALIDATED)
    loop = _TrialLoop(trainee, options, folder, steps, trying, tell)
    return Trial(rate, steps, loop.loss(), loop.points())


class _TrialLoop(Loop):
    """The first steps of a run, without the decay of the rate."""

    def __init__(
        self,
        trainee: Trainee,
        options: TrainOptions,
        folder: Path,
        steps: int,
        trying: Trying,
        tell: Callable[[Event], None],
    ) -> None:
        def prepared(event: Event) -> None:
            if isinstance(event, Preparing) and trying.number == 1:  # the others find it made
                tell(event)

        super().__init__(trainee, options, folder, prepared)
        self.trying, self.tell = trying, tell
        self.rise = max(1, round(options.warmup * len(self.plan)))
        self.plan = self.plan[:steps]

    def _schedule(self, step: int) -> float:
        return min(1.0, (step + 1) / self.rise)

    def loss(self) -> float | None:
        """On the validation examples, after the last step; None if training diverged."""
        self._resume()
        progress, steps = self.progress, len(self.plan)
        losses = {row.step: row.loss for row in progress.validations}
        if steps not in losses:
            before = self.trying.done - progress.step
            while progress.step < steps:
                loss = self._step(self.plan[progress.step])
                if not math.isfinite(loss):
                    return None
                self.tell(replace(self.trying, done=before + progress.step, loss=loss))
            self.trainee.network.model.eval()
            with self._averaged():
                losses[steps], exact = self.trainee.validate()
            if not math.isfinite(losses[steps]):
                return None
            progress.validations.append(Validated(0, steps, losses[steps], exact, best=True))
            self._save()
        return losses[steps]


def _read(path: Path) -> list[Trial] | None:
    if not path.exists():
        return None
    try:
        return from_json(list[Trial], reading.read_json(path, FormatError)) or None
    except (FormatError, ValueError):
        return None  # an unreadable cache is computed again
