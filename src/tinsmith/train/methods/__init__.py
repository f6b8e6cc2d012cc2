"""Methods: what a training run trains, and on which loss.

A method is one module of this folder, called as the method is, with an instance of a Method subclass named
`method`. Adding a module adds the method: recipes, training, merging and reports ask it; no table lists them.
None imports torch before it trains.
"""

from __future__ import annotations

import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar

from tinsmith.errors import MissingExtraError, UnsupportedError

if TYPE_CHECKING:
    from tinsmith.train.job import Job
    from tinsmith.train.options import Event, TrainResult
    from tinsmith.train.trainee import Trainee

DEFAULT = "lora"  # of a recipe that states no method


class Method(ABC):
    """name: as a recipe has it; folder: in the run's folder, where the result lies; keys: the keys of [train]
    that not every method reads, and this one does; what: is trained, in a report's words."""

    name: ClassVar[str]
    folder: ClassVar[str]
    keys: ClassVar[tuple[str, ...]] = ()
    what: ClassVar[str]
    reads_text: ClassVar[bool] = False

    @abstractmethod
    def trainee(self, job: Job) -> Trainee:
        """What the loop trains. Raises InputError or DataError for a job that does not fit."""

    def train(self, job: Job, on_event: Callable[[Event], None] = lambda event: None) -> TrainResult:
        """Trains, and writes what is best by validation to this method's folder in job.out_dir.

        The same job and machine give the same result, whether or not training was interrupted: a checkpoint in
        job.out_dir of the same job is taken up, one of another is thrown away. Raises what `trainee` raises,
        and MissingExtraError without the libraries that training takes."""
        job.check()
        try:
            import peft  # noqa: F401
            import torch
            import transformers  # noqa: F401

            from tinsmith.train import rates
            from tinsmith.train.loop import Loop
        except ImportError as error:
            raise MissingExtraError(error.name or "torch", "train") from None
        if job.options.threads:
            torch.set_num_threads(job.options.threads)
        job, trials = rates.searched(self, job, on_event) if job.options.search else (job, [])
        torch.manual_seed(job.options.seed)
        return replace(Loop(self.trainee(job), job.options, job.out_dir, on_event).finish(), trials=trials)


@cache
def names() -> tuple[str, ...]:
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def by_name(name: str) -> Method:
    """Raises UnsupportedError for an unknown one, listing those there are."""
    if name not in names():
        raise UnsupportedError(f'method "{name}" does not exist; the methods are {", ".join(names())}')
    method = import_module(f"{__name__}.{name}").method
    assert isinstance(method, Method)
    return method
