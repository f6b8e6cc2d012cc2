"""The events that a training run reports, and its result."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Preparing:
    """Before the first step: `done` of `count` parts of a one-time computation, which `what` names."""

    what: str
    done: int
    count: int


@dataclass(frozen=True)
class Started:
    """step: 0, or the step at which an interrupted run resumes; note: the choices and their reasons, in a line;
    seed: of one of several runs."""

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
    seconds_left: float
    memory: int | None = None


@dataclass(frozen=True)
class Validated:
    """After an epoch, on the validation examples.

    loss: per answer token; exact: the share of answers whose every token is the most likely, as greedy decoding
    would find it, or of preferences that hold; best: whether this is the best so far; averaged: whether it
    measures the mean of recent weights, not the latest; text_loss: per token of held-out plain text, None
    without it.
    """

    epoch: int
    step: int
    loss: float
    exact: float
    best: bool
    averaged: bool = False
    text_loss: float | None = None


@dataclass(frozen=True)
class Point:
    """A point of a curve: the training loss of a step."""

    step: int
    loss: float


@dataclass(frozen=True)
class Trial:
    """A trial of a learning rate: the validation loss of the averaged weights after that many steps in all;
    None if training diverged. curve: of these steps."""

    learning_rate: float
    steps: int
    loss: float | None
    curve: list[Point] = field(default_factory=list)


@dataclass(frozen=True)
class Trying:
    """After a step of a trial. number: of the trial, of `trials`; step of steps: of the trial's rate; done of
    count: of the search; rate: tokens per second since the trial began."""

    number: int
    trials: int
    learning_rate: float
    step: int
    steps: int
    done: int
    count: int
    loss: float = 0.0
    tokens_per_second: float = 0.0


@dataclass(frozen=True)
class Seeded:
    """The best validation of one of several runs that differ by seed, or with seed None of their mean. kept:
    whether it is the result."""

    seed: int | None
    loss: float
    exact: float
    curve: list[Point] = field(default_factory=list)
    kept: bool = False


@dataclass(frozen=True)
class Replayed:
    """Before an epoch: the number of replayed examples among those learned before; rise: how far their loss has
    risen so far, a mean over a sample."""

    epoch: int
    count: int
    known: int
    rise: float


@dataclass(frozen=True)
class Rolled:
    """A step's rollouts: the number of prompts, of which `alike` were dropped because all their rollouts had
    one reward, `failed` of these with reward 0.

    Means: of rewards, of answers' tokens, of the policy's entropy (nats) per chosen token, and of the
    sequences' correction weights for the sampler; None if nothing was learned.
    """

    step: int
    prompts: int
    alike: int
    failed: int
    reward: float
    tokens: float
    entropy: float | None = None
    weight: float | None = None


Event = Preparing | Started | Step | Validated | Trial | Trying | Seeded | Replayed | Rolled


@dataclass
class TrainResult:
    """folder: of the trained weights; curve: (step, loss); validations: in order; note: how the rate was
    chosen; trials: of rates, the best last; seeds: of several runs, their mean last: curve, validations and
    rollouts are then the best run's, tokens and seconds the sum."""

    folder: Path
    learning_rate: float
    note: str
    steps: int
    tokens: int
    seconds: float
    curve: list[tuple[int, float]] = field(default_factory=list)
    validations: list[Validated] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)
    seeds: list[Seeded] = field(default_factory=list)
    rollouts: list[Rolled] = field(default_factory=list)

    @property
    def best(self) -> Validated:
        """The kept epoch's: the last that was the best so far."""
        return next(row for row in reversed(self.validations) if row.best)

    @property
    def worth(self) -> tuple[float, float]:
        """The folder's rank among trainings on the same validation examples."""
        kept = next((row for row in self.seeds if row.kept), self.best)
        return kept.exact, -kept.loss

    def record(self) -> dict[str, Any]:
        """As JSON; the folder by its name."""
        return {**asdict(self), "folder": self.folder.name}

    @classmethod
    def of(cls, record: dict[str, Any], parent: Path) -> TrainResult:
        """The inverse of `record`, with the folder in another one. Raises KeyError or TypeError for invalid
        input."""

        def curved(kind: Any, rows: list[dict[str, Any]]) -> list[Any]:
            return [kind(**row | {"curve": [Point(**point) for point in row["curve"]]}) for row in rows]

        return cls(
            **record
            | {
                "folder": parent / record["folder"],
                "curve": [(step, loss) for step, loss in record["curve"]],
                "validations": [Validated(**row) for row in record["validations"]],
                "trials": curved(Trial, record["trials"]),
                "seeds": curved(Seeded, record["seeds"]),
                "rollouts": [Rolled(**row) for row in record["rollouts"]],
            }
        )


# The adapters that an update compares, and its sets of examples.
START, CONTINUED, RETRAINED = "start", "continued", "retrained"
OLD_TEST, NEW_TEST, OLD_VALIDATION, NEW_VALIDATION = "old test", "new test", "old validation", "new validation"


@dataclass(frozen=True)
class Score:
    """exact: the share of answers whose every token is the most likely; loss: a mean over answers; lost,
    gained: answers that are exact only under the adapter that training started from, and only under this one.
    """

    items: int
    loss: float
    exact: float
    lost: int
    gained: int


@dataclass(frozen=True)
class Updated:
    """kept: CONTINUED or RETRAINED; scores: by adapter, START among them, and set of examples; seconds: of each
    training."""

    kept: str
    scores: dict[str, dict[str, Score]]
    seconds: dict[str, float]
