"""Methods: what a training run trains, and on which loss.

A method is one module of this folder, called as the method is, with an instance of a Method subclass named
`method`; what several share is in modules whose names begin with `_`. Adding a module adds the method: recipes,
training, merging and reports ask it; no table lists them. None imports
torch before it trains.
"""

from __future__ import annotations

import pkgutil
from abc import ABC, abstractmethod
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar

from tinsmith.errors import InputError, UnsupportedError
from tinsmith.train.options import TrainOptions

if TYPE_CHECKING:
    from tinsmith.compiler.program import Listing
    from tinsmith.spec import Spec
    from tinsmith.train.job import Job
    from tinsmith.train.steps.trainee import Trainee

DEFAULT = "lora"  # of a recipe that states no method
ORIGINALS_ONCE = "originals_once"  # the key of methods that learn what the examples answer


class Method(ABC):
    """name: as a recipe has it; folder: in the run's folder, where the result lies; what: is trained, in a
    report's words; keys, reads: the keys of [train] and of [data] that not every method reads, and this one
    does; needs: tables and keys of what must be there, first what it learns from; share, unit: what a
    validation finds, and what it is in: a share of the examples, or a mean that has no unit; merges: whether a
    model can be built from what is trained; is_beside: whether it can stand beside the base as an adapter;
    packs: whether the base may stay in its blocks; starts: whether it goes on from an adapter; one_adapter:
    whether files of every format are built from one adapter; gentle: of a new adapter's learning rate, what it
    then takes; replays: whether it then learns new examples, and some of the old ones again; passes: over the
    examples where none are stated, None for as many as most methods take; renew: steps from one checkpoint to
    the next; takes_images: whether it learns from images; reads_examples: whether it reads [data] train."""

    name: ClassVar[str]
    folder: ClassVar[str]
    what: ClassVar[str]
    keys: ClassVar[tuple[str, ...]] = ()
    reads: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[tuple[str, str], ...]] = (("data", "train"),)
    share: ClassVar[str] = "exact"
    unit: ClassVar[str] = "%"
    merges: ClassVar[bool] = True
    is_beside: ClassVar[bool] = True
    packs: ClassVar[bool] = True
    starts: ClassVar[bool] = False
    one_adapter: ClassVar[bool] = False
    gentle: ClassVar[float] = 0.25
    replays: ClassVar[bool] = False
    passes: ClassVar[int | None] = None
    renew: ClassVar[int] = TrainOptions.renew
    takes_images: ClassVar[bool] = True
    reads_examples: ClassVar[bool] = True

    def found(self, value: float) -> str:
        """What a validation found, in words: a share, or what else decides which epoch is the best."""
        return f"{value:.1%} {self.share}"

    @abstractmethod
    def trainee(self, job: Job) -> Trainee:
        """What the loop trains. Raises InputError or DataError for a job that does not fit."""

    def beside(self, spec: Spec, options: TrainOptions, program: Listing) -> tuple[int, int]:
        """Bytes that what is trained takes in a tin beside its base, at most, and its part of a session's
        adapter_rank; found before it is trained."""
        from tinsmith.compiler.adapter import planned_factors
        from tinsmith.train.model import network

        return planned_factors(network.adapted(spec, options.widened(options.seeds)), program)

    def check(self, job: Job) -> None:
        """Raises InputError for a job that has nothing to learn or to validate on, or shows what the method
        does not see."""
        if not job.examples or not job.validation:
            raise InputError("training needs at least one training example and one validation example")
        if not self.takes_images and any(example.images for example in (*job.examples, *job.validation)):
            raise InputError(f'method = "{self.name}" trains on no images; use "lora", or leave out the images')

    def check_lengths(self, job: Job) -> None:
        """Raises DataError for what is too long to be learned, or says too little; no network is made."""
        tokenize = job.tokenization()
        tokenize(job.examples)
        tokenize(job.validation)


@cache
def names() -> tuple[str, ...]:
    modules = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name for name in modules if not name.startswith("_")))


def by_name(name: str) -> Method:
    """Raises UnsupportedError for an unknown one, listing those there are."""
    if name not in names():
        raise UnsupportedError(f'method "{name}" does not exist; the methods are {", ".join(names())}')
    method = import_module(f"{__name__}.{name}").method
    assert isinstance(method, Method)
    return method
