"""Methods: the trained parameters and the loss of a training run.

A method is one module of this folder, named like it, with an instance of Method or a subclass called `method`;
shared code is in modules whose names begin with `_`. A new module adds a method: recipes, training, merging and
reports ask it, and no table lists methods. None imports torch before it trains.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from tinsmith.compiler.adapter import planned_factors
from tinsmith.errors import InputError, UnsupportedError
from tinsmith.train.options import TrainOptions

if TYPE_CHECKING:
    from tinsmith.compiler.program import Listing
    from tinsmith.spec import Spec
    from tinsmith.train.job import Job
    from tinsmith.train.steps.trainee import Trainee

DEFAULT = "lora"  # of a recipe without a method
ORIGINALS_ONCE = "originals_once"  # the key of methods that learn the examples' answers


@dataclass(frozen=True)
class Method:
    """name: as a recipe has it; folder: in the run's folder, where the result lies; what: is trained, in a
    report's words; keys, reads: the keys of [train] and of [data] that not every method reads, and this one
    does; needs: tables and keys of what must be there, first what it learns from; share, unit: what a
    validation finds, and what it is in: a share of the examples, or a mean that has no unit; merges: whether a
    model can be built from what is trained; is_beside: whether it can stand beside the base as an adapter;
    packs: whether the base may stay in its blocks; starts: whether it can continue an adapter; one_adapter:
    whether files of every format are built from one adapter; gentle: of a new adapter's learning rate, what it
    then takes; replays: whether it then learns new examples, and some of the old ones again; passes: over the
    examples where none are stated, None for as many as most methods take; renew: steps from one checkpoint to
    the next; takes_images: whether it learns from images; reads_examples: whether it reads [data] train."""

    name: str
    trainee: Callable[..., Trainee]  # of a job; raises InputError or DataError for an invalid one
    _: KW_ONLY
    folder: str
    what: str
    keys: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    needs: tuple[tuple[str, str], ...] = (("data", "train"),)
    share: str = "exact"
    unit: str = "%"
    merges: bool = True
    is_beside: bool = True
    packs: bool = True
    starts: bool = False
    one_adapter: bool = False
    gentle: float = 0.25
    replays: bool = False
    passes: int | None = None
    renew: int = TrainOptions.renew
    takes_images: bool = True
    reads_examples: bool = True

    def found(self, value: float) -> str:
        """A validation's result in words: a share, or another value that chooses the best epoch."""
        return f"{value:.1%} {self.share}" if self.unit else f"{self.share} {value:.3f}"

    def beside(self, spec: Spec, options: TrainOptions, program: Listing) -> tuple[int, int]:
        """The most bytes that the result takes in a tin beside its base, and its part of a session's
        adapter_rank; known before training."""
        from tinsmith.train.model import network

        return planned_factors(network.adapted(spec, options.widened(options.seeds)), program)

    def check(self, job: Job) -> None:
        """Raises InputError for a job without data to learn or validate on, or with inputs that the method does
        not support."""
        if not job.examples or not job.validation:
            raise InputError("training needs at least one training example and one validation example")
        if not self.takes_images and any(example.images for example in (*job.examples, *job.validation)):
            raise InputError(f'method = "{self.name}" trains on no images; use "lora", or leave out the images')

    def check_lengths(self, job: Job) -> None:
        """Raises DataError for an example that is too long or has nothing to learn; makes no network."""
        tokenize = job.tokenization()
        tokenize(job.examples)
        tokenize(job.validation)


@cache
def names() -> tuple[str, ...]:
    modules = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name for name in modules if not name.startswith("_")))


def by_name(name: str) -> Method:
    """Raises UnsupportedError for an unknown name, with the known ones."""
    if name not in names():
        raise UnsupportedError(f'method "{name}" does not exist; the methods are {", ".join(names())}')
    method = import_module(f"{__name__}.{name}").method
    assert isinstance(method, Method)
    return method
