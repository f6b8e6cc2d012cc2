"""What a training run reports while it goes, and gives."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Preparing:
    """Before the first step: `done` of `count` parts of what is computed once, which `what` names."""

    what: str
    done: int
    count: int


@dataclass(frozen=True)
class Started:
    """step: 0, or where an interrupted run goes on; note: what was chosen and why, in a line; seed: of one of
    several runs."""

    step: int
    steps: int
    learning_rate: float
    note: str
    seed: int | None = None


@dataclass(frozen=True)
class Step:
    """After `step` of `steps`; loss: mean over the batch's answer tokens; rates since this process started;
    memory: bytes that the process holds, None where the system does not say."""

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
    """After an epoch, on the validation examples: loss per answer token; exact: the share of answers whose
    every token is the likeliest, as greedy decoding would find it, and where preferences are learned, of those
    that are kept; best: whether this is the best so far;
    averaged: whether of the mean of the weights over the latest steps, or of the latest ones; text_loss: per
    token of the plain text that is held out, None where none is."""

    epoch: int
    step: int
    loss: float
    exact: float
    best: bool
    averaged: bool = False
    text_loss: float | None = None


@dataclass(frozen=True)
class Point:
    """Of a curve: the training loss of a step."""

    step: int
    loss: float


@dataclass(frozen=True)
class Trial:
    """Of a learning rate: after so many steps in all, the validation loss of the averaged weights; None where
    training diverged. curve: of these steps."""

    learning_rate: float
    steps: int
    loss: float | None
    curve: list[Point] = field(default_factory=list)


@dataclass(frozen=True)
class Trying:
    """After a step of a trial: number: of the trial, of so many; step of steps that its rate takes in all; done
    of count: of the search's steps; rate in tokens since the trial began."""

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
    """One of several runs that differ by their seed, or where that is None the mean of all: its best
    validation. kept: whether it is what training gives."""

    seed: int | None
    loss: float
    exact: float
    curve: list[Point] = field(default_factory=list)
    kept: bool = False


@dataclass(frozen=True)
class Replayed:
    """Before an epoch: how many of so many examples that were learned before are replayed in it; rise: by how
    much the loss of these has risen so far, a mean over a sample."""

    epoch: int
    count: int
    known: int
    rise: float


@dataclass(frozen=True)
class Rolled:
    """Of a step's rollouts: so many prompts, alike of which were set aside since their rollouts all had the
    same reward, failed of these with a reward of 0; means: of rewards, of answers' tokens, and per chosen
    token of what was learned the policy's entropy (nats), and by sequence the weight that corrects for the
    sampler; None where nothing was learned."""

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
    """folder: what was trained; curve: (step, loss); validations: in order; note: how the rate was chosen;
    trials: of rates, the best last; seeds: of several runs, their mean last; curve, validations and rollouts
    are then of the best run, tokens and seconds of all."""

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
        """Of the epoch that is kept: the last of those that were the best so far."""
        return next(row for row in reversed(self.validations) if row.best)

    @property
    def worth(self) -> tuple[float, float]:
        """Of what lies in the folder, what two trainings on the same validation examples are compared by."""
        kept = next((row for row in self.seeds if row.kept), self.best)
        return kept.exact, -kept.loss

    def record(self) -> dict[str, Any]:
        """As JSON takes it; of the folder its name."""
        return {**asdict(self), "folder": self.folder.name}

    @classmethod
    def of(cls, record: dict[str, Any], parent: Path) -> TrainResult:
        """What `record` gave, its folder in another one. Raises KeyError or TypeError for something else."""

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


# The adapters that an update compares, and the examples that it measures them on.
START, CONTINUED, RETRAINED = "start", "continued", "retrained"
OLD_TEST, NEW_TEST, OLD_VALIDATION, NEW_VALIDATION = "old test", "new test", "old validation", "new validation"


@dataclass(frozen=True)
class Score:
    """exact: the share of answers whose every token is the likeliest; loss: a mean over answers; lost, gained:
    answers that are exact by the adapter that training started from and not by this one, and the other way
    round."""

    items: int
    loss: float
    exact: float
    lost: int
    gained: int


@dataclass(frozen=True)
class Updated:
    """kept: CONTINUED or RETRAINED; scores: of the adapters, START among them, by set of examples; seconds: of
    each training."""

    kept: str
    scores: dict[str, dict[str, Score]]
    seconds: dict[str, float]
