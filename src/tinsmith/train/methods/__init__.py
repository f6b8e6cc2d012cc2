"""Methods: what a training run trains, and on which loss.

A method is one module of this folder, called as the method is, with an instance of a Method subclass named
`method`. Adding a module adds the method: recipes, training, merging and reports ask it; no table lists them.
None imports torch before it trains.
"""

from __future__ import annotations

import pkgutil
from abc import ABC, abstractmethod
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar

from tinsmith.errors import UnsupportedError

if TYPE_CHECKING:
    from tinsmith.train.job import Job
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
