"""A training run's events and its result."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from tinsmith.system.from_json import from_json


@dataclass(frozen=True)
class Preparing:
    """Before the first step: `done` of `count` parts of the one-time computation `what`."""

    what: str
    done: int
    count: int


@dataclass(frozen=True)
class Started:
    """step: 0, or the step at which an interrupted run resumes; note: the run's settings and their reasons, in
    a line; seed: of the run, if there are several."""

    step: int
    steps: int
    learning_rate: float
    note: str
    seed: int | None = None


@dataclass(frozen=True)
class Step:
    """After `step` of `steps`; loss: mean over the batch's answer tokens; rates since this process started;
    memory: bytes in use by the process, None if the system does not report it."""

    step: int
    steps: int
    epoch: int
    loss: float
    learning_rate: float
    tokens_per_second: float
    memory: int | None = None


@dataclass(frozen=True)
class Validated:
    """After an epoch, on the validation examples: loss per answer token; exact: the share of answers that
    greedy decoding reproduces, or with preferences the share that the network agrees with; best: whether this
    is the best so far; averaged: whether the weights are the mean over the latest steps; text_loss: per token
    of held-out plain text, None without any."""

    epoch: int
    step: int
    loss: float
    exact: float
    best: bool
    averaged: bool = False
    text_loss: float | None = None


@dataclass(frozen=True)
class Point:
    """A point of the training curve: a step's loss."""

    step: int
    loss: float


@dataclass(frozen=True)
class Trial:
    """A learning rate's trial. steps: in total; loss: of the averaged weights on validation examples, None if
    training diverged; curve: of these steps."""

    learning_rate: float
    steps: int
    loss: float | None
    curve: list[Point] = field(default_factory=list)


@dataclass(frozen=True)
class Trying:
    """After a step of a trial. number: of the trial, out of `trials`; done: of the search's `count` steps."""

    number: int
    trials: int
    learning_rate: float
    done: int
    count: int
    loss: float = 0.0


@dataclass(frozen=True)
class Seeded:
    """The best validation of one of several runs, or of their mean if seed is None. kept: whether it is the
    training's result."""

    seed: int | None
    loss: float
    exact: float
    curve: list[Point] = field(default_factory=list)
    kept: bool = False


@dataclass(frozen=True)
class Replayed:
    """Before an epoch. count: replayed examples, out of `known` from earlier training; rise: of the known
    examples' loss so far, a mean over a sample."""

    epoch: int
    count: int
    known: int
    rise: float


@dataclass(frozen=True)
class Rolled:
    """A step's rollouts. alike: prompts set aside because all their rollouts had the same reward; failed: those
    of them with a reward of 0; reward, tokens: means over answers; entropy: of the policy, a mean over learned
    tokens, in nats; weight: a sequence's mean importance weight. The last two are None if no prompt was
    learned."""

    step: int
    prompts: int
    alike: int
    failed: int
    reward: float
    tokens: float
    entropy: float | None = None
    weight: float | None = None


Event = Preparing | Started | Step | Validated | Trial | Trying | Seeded | Replayed | Rolled


@dataclass(frozen=True)
class Trained:
    """The facts of a training. note: how the learning rate was chosen; curve: the loss after each step;
    validations: in order; trials: of rates, the best last; seeds: of several runs, their mean last: curve,
    validations and rollouts are then the best run's, tokens and seconds the sum."""

    learning_rate: float
    note: str
    steps: int
    tokens: int
    seconds: float
    curve: list[Point] = field(default_factory=list)
    validations: list[Validated] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)
    seeds: list[Seeded] = field(default_factory=list)
    rollouts: list[Rolled] = field(default_factory=list)

    @property
    def best(self) -> Validated:
        """The validation of the kept epoch."""
        return next(row for row in reversed(self.validations) if row.best)

    @property
    def worth(self) -> tuple[float, float]:
        """Orders trainings with the same validation examples by the quality of their result."""
        kept = next((row for row in self.seeds if row.kept), self.best)
        return kept.exact, -kept.loss

    @property
    def facts(self) -> dict[str, Any]:
        """Its fields, without those of a subclass."""
        return {one.name: getattr(self, one.name) for one in fields(Trained)}


@dataclass(frozen=True, kw_only=True)
class TrainResult(Trained):
    """folder: of the trained weights."""

    folder: Path

    def record(self) -> dict[str, Any]:
        """As JSON, with the folder's name only."""
        return {**asdict(self), "folder": self.folder.name}

    @classmethod
    def of(cls, record: dict[str, Any], parent: Path) -> TrainResult:
        """The inverse of `record`; parent: of the result's folder. Raises KeyError or ValueError for other
        JSON."""
        return cls(**from_json(Trained, record).facts, folder=parent / record["folder"])


# The adapters that an update compares, and its sets of examples.
START, CONTINUED, RETRAINED = "start", "continued", "retrained"
OLD_TEST, NEW_TEST, OLD_VALIDATION, NEW_VALIDATION = "old test", "new test", "old validation", "new validation"


@dataclass(frozen=True)
class Score:
    """exact: the share of answers that greedy decoding reproduces; loss: a mean over answers; lost: answers
    that were exact with the adapter that training started from and no longer are; gained: the opposite."""

    items: int
    loss: float
    exact: float
    lost: int
    gained: int


@dataclass(frozen=True)
class Updated:
    """kept: CONTINUED or RETRAINED; scores: by adapter, START included, and set of examples; seconds: by
    training."""

    kept: str
    scores: dict[str, dict[str, Score]]
    seconds: dict[str, float]
