"""What a training run takes, reports while it goes, and gives."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith import tasks

if TYPE_CHECKING:
    from tinsmith.quant.presets import Mix

# Passes over the training examples where none are stated; the second where others were made of them.
EPOCHS, MADE_EPOCHS = 3, 8
MADE_SEEDS = 2  # runs of an adapter whose mean is taken, where others were made of the examples
UPDATE_EPOCHS = 2  # over new examples, where an adapter has learned others
LOGS = ("csv", "tensorboard")  # the kinds of files that curves can be written to
RANK_SCALES = PLAIN, RSLORA = "plain", "rslora"  # alpha / rank, alpha / its root (Kalajdzievski, 2312.03732)
MOMENTS = AUTO, FLOAT, EIGHT_BITS = "auto", "float", "8-bit"  # of the optimizer, when every weight is trained
# Whether all is learned again beside an adapter that went on: where it forgot too much, or whenever it did.
RETRAINS = RETRAIN_AUTO, RETRAIN_ALWAYS, RETRAIN_NEVER = "auto", "always", "never"
# How a policy's loss is a mean over tokens, and what advantages are divided by the spread of.
POLICY_LOSSES = GRPO, DAPO, DR_GRPO, DPO = "grpo", "dapo", "dr_grpo", "dpo"
SCALES = GROUP, BATCH, UNSCALED = "group", "batch", "none"
BASE_TEACHER = "base"  # the base itself, with examples in its context
AUTO_DEVICE = "auto"
TORCH_DEVICES = ("cuda", "mps", "cpu")  # in the order in which "auto" takes them


# What an adapter may change: the language model, and of a vision half its tower and its connector.
LANGUAGE = "language"
PARTS = (LANGUAGE, "connector", "tower")


@dataclass(frozen=True)
class TrainOptions:
    """task, system: a task's name, and the recipe's system prompt; learning_rate: None to choose by the
    model's size; ranks: of the linear layers that have another one, by name; rank_scale: of RANK_SCALES;
    parts: of PARTS, those that an adapter changes; batch_tokens: tokens in a batch, without the prefix that
    prompts share; max_length: tokens of the longest example allowed; patience: epochs without improvement
    after which training stops, 0 for never; warmup: the share of steps in which the learning rate rises;
    floor: the share of it that is left at the end; rough: the preset or the mix whose errors the adapter
    learns to live with, None for none; only_rough: in every step, and in validation, not in every other step;
    targets: the linear layers to adapt, by their names in
    transformers, none for all; average: the share of the steps over which weights are averaged, beside the
    latest ones, 0 for none; seeds: runs, each with another seed, of which the best or the mean is kept;
    offset: which of these this one is: what is drawn anew in each follows from run_seed, what is held out
    from seed; mean_of: of how many runs a trainee holds the mean; search: the share of the run's steps that
    trials of learning rates may take, 0 for none; label_smoothing: the share of a label that all tokens have
    alike; noise: NEFTune's alpha; tried: the rates that learning_rate was the best of, 0 where it was not
    searched; beta: how strongly preferences hold to the reference, in ORPO how much they count; good_weight:
    what a good output counts where a bad one counts 1, None for as much in all; teacher: the path of the
    model to learn from, or BASE_TEACHER; shots: examples in the base's context; teacher_top: of how many
    likeliest tokens the teacher's probabilities are kept; temperature: what logits are divided by where
    teacher and network are compared, and before a rollout's token is drawn; teacher_weight: the share of that
    in the loss; prefix_length: tokens that a prefix stands for; reward: what a rollout is worth, weights by
    name (rewards.py); rollouts: of a prompt; prompts: of a step; iterations: steps that learn from the same
    rollouts; policy_loss: of POLICY_LOSSES; scale_rewards: of SCALES; epsilon, epsilon_high: how far a ratio
    may fall below and rise above 1 (None for as far); kl_weight: of the divergence from the reference;
    constrained: whether rollouts are held to the job's constraint; moments: of MOMENTS; gentle: what the rate
    is multiplied by where none is stated; replay: the share of an epoch's sequences that were learned before,
    where there are such; renew: steps from one checkpoint, where the format's errors are made anew, to the
    next; threads: torch's, None as torch likes; device: AUTO_DEVICE or one of TORCH_DEVICES; keep: whether a
    base in blocks stays in them ("packed"), is unpacked ("float"), or as memory asks ("auto")."""

    task: str = tasks.DEFAULT
    system: str = ""
    epochs: int = EPOCHS
    rank: int = 16
    ranks: Mapping[str, int] = field(default_factory=dict)
    rank_scale: str = PLAIN
    parts: tuple[str, ...] = (LANGUAGE,)
    alpha: float = 32.0
    dropout: float = 0.0
    label_smoothing: float = 0.0
    noise: float = 0.0
    learning_rate: float | None = None
    batch_tokens: int = 640
    max_length: int = 512
    patience: int = 0
    seed: int = 0
    seeds: int = 1
    offset: int = 0
    mean_of: int = 1
    warmup: float = 0.06
    floor: float = 0.1
    weight_decay: float = 0.0
    clip: float = 1.0
    average: float = 0.0
    search: float = 0.0
    tried: int = 0
    beta: float = 0.1
    good_weight: float | None = None
    teacher: str | None = None
    shots: int = 5
    teacher_top: int = 64
    temperature: float = 1.0
    teacher_weight: float = 0.5
    prefix_length: int = 16
    reward: Mapping[str, float] = field(default_factory=lambda: {"exact": 1.0})
    rollouts: int = 8
    prompts: int = 32
    iterations: int = 1
    policy_loss: str = GRPO
    scale_rewards: str = GROUP
    epsilon: float = 0.2
    epsilon_high: float | None = None
    kl_weight: float = 0.0
    constrained: bool = False
    moments: str = AUTO
    gentle: float = 1.0
    replay: float = 0.5
    rough: str | Mix | None = "Q4_0"
    only_rough: bool = False
    targets: tuple[str, ...] = ()
    renew: int = 50
    threads: int | None = None
    device: str = AUTO_DEVICE
    keep: str = "auto"

    @property
    def run_seed(self) -> int:
        return self.seed + self.offset

    def widened(self, count: int) -> TrainOptions:
        """Of the mean of so many adapters: their ranks together, at a like part of the scale."""
        ranks = {name: rank * count for name, rank in self.ranks.items()}
        alpha = self.alpha / (math.sqrt(count) if self.rank_scale == RSLORA else 1)
        return replace(self, rank=self.rank * count, ranks=ranks, alpha=alpha)

    def rate(self, default: tuple[float, str]) -> tuple[float, str]:
        """The learning rate, the default where none is stated, and the reason in words."""
        given = self.learning_rate
        if given is None and self.gentle != 1:
            rate = float(f"{default[0] * self.gentle:.2g}")
            return rate, f"learning rate {rate:g}, {self.gentle:g} of a new adapter's, to go on from one"
        if given is None:
            return default
        origin = f"the best of {self.tried} tried" if self.tried else "as given"
        return given, f"learning rate {given:g}, {origin}"


@dataclass(frozen=True)
class ScratchOptions:
    """The sizes of a new model: about so many parameters, or where hidden is stated the layers and widths, None
    for what follows from these. vocabulary: tokens at most; context: tokens of the longest text.

    Where the examples have pictures: picture: pixels a side that each is scaled to; patch: of a patch; merge:
    patches a side of the square that becomes a token; tower_layers, tower_hidden: of the tower."""

    parameters: int = 5_000_000
    vocabulary: int = 2048
    context: int = 256
    layers: int | None = None
    hidden: int | None = None
    heads: int | None = None
    kv_heads: int | None = None
    feed_forward: int | None = None
    picture: int = 64
    patch: int = 8
    merge: int = 2
    tower_layers: int = 4
    tower_hidden: int = 128


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
    training went astray. curve: of these steps."""

    learning_rate: float
    steps: int
    loss: float | None
    curve: list[Point] = field(default_factory=list)


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
    token of what was learned the policy's entropy, its divergence from the reference (nats), and by sequence
    the weight that corrects for the sampler; None where nothing was learned."""

    step: int
    prompts: int
    alike: int
    failed: int
    reward: float
    tokens: float
    entropy: float | None = None
    divergence: float | None = None
    weight: float | None = None


Event = Preparing | Started | Step | Validated | Trial | Seeded | Replayed | Rolled


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
    def worth(self) -> tuple[float, float]:
        """Of what lies in the folder, what two trainings on the same validation examples are compared by."""
        rows = [row for row in self.seeds if row.kept] or self.validations
        return max((row.exact, -row.loss) for row in rows)

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
                "rollouts": [Rolled(**row) for row in record.get("rollouts", ())],
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


# Where training all of a new model wants other values than an adapter: there is no format to prepare for, a
# checkpoint is all of the model and twice that, and weights that start at random may be held back a little.
SCRATCH_DEFAULTS: dict[str, Any] = {"rough": None, "renew": 200, "weight_decay": 0.01, "floor": 0.02}
