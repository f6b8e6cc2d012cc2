"""What a training run takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tinsmith import tasks

if TYPE_CHECKING:
    from tinsmith.quant.presets import Mix

# Passes over the training examples where none are stated; the second where others were made of them.
EPOCHS, MADE_EPOCHS = 3, 8
# Over new examples, where an adapter has learned others: at least so many, and this share of those over all.
UPDATE_EPOCHS, UPDATE_SHARE = 2, 0.5
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
PARTS = (LANGUAGE, "projector", "encoder")


@dataclass(frozen=True)
class TrainOptions:
    """Of every method; each takes what concerns it."""

    # What is said, and what is too long to be learned from.
    task: str = tasks.DEFAULT  # its name
    system: str = ""  # the recipe's system prompt
    max_length: int = 512  # tokens of the longest example allowed

    # What an adapter changes.
    rank: int = 16
    ranks: Mapping[str, int] = field(default_factory=dict)  # of the layers that have another one, by name
    rank_scale: str = PLAIN  # of RANK_SCALES
    alpha: float = 32.0
    targets: tuple[str, ...] = ()  # the linear layers to adapt, by their names in transformers; none for all
    parts: tuple[str, ...] = (LANGUAGE,)  # of PARTS
    prefix_length: int = 16  # tokens that a prefix stands for

    # Steps.
    epochs: int = EPOCHS
    batch_tokens: int = 640  # of a batch, without the prefix that prompts share
    learning_rate: float | None = None  # None to choose by the model's size
    search: float = 0.0  # the share of the run's steps that trials of rates may take, 0 for none
    tried: int = 0  # the rates that learning_rate was the best of, 0 where it was not searched
    gentle: float = 1.0  # what the rate is multiplied by where none is stated
    given: float | None = None  # the rate of which learning_rate is that part, where one is stated
    warmup: float = 0.06  # the share of the steps in which the rate rises
    floor: float = 0.1  # the share of the rate that is left at the end
    weight_decay: float = 0.0
    clip: float = 1.0
    dropout: float = 0.0
    label_smoothing: float = 0.0  # the share of a label that all tokens have alike
    noise: float = 0.0  # NEFTune's alpha
    reread: bool = True  # examples in the epochs for which others were made of them
    patience: int = 0  # epochs without improvement after which training stops, 0 for never
    average: float = 0.0  # the share of the steps over which weights are averaged, beside the latest ones
    replay: float = 0.5  # the share of an epoch's sequences that were learned before, where there are such

    # Several runs, of which the best or the mean is kept.
    seeds: int = 1
    seed: int = 0  # what is held out follows from it
    offset: int = 0  # which of the runs this one is: what is drawn anew in each follows from run_seed
    mean_of: int = 1  # of how many runs a trainee holds the mean

    # The errors of a weight format, which the adapter learns to live with.
    rough: str | Mix | None = "Q4_0"  # a preset, or formats by tensor; None for none
    only_rough: bool = False  # in every step, and in validation, not in every other step
    renew: int = 50  # steps from a checkpoint, where these errors are made anew, to the next

    # Preferences.
    beta: float = 0.1  # how strongly they hold to the reference, in ORPO how much they count
    good_weight: float | None = None  # what a good output counts where a bad one counts 1; None: as much in all

    # A teacher.
    teacher: str | None = None  # the path of its model, or BASE_TEACHER
    shots: int = 5  # examples in the base's context
    teacher_top: int = 64  # the likeliest tokens whose probabilities are kept
    teacher_weight: float = 0.5  # its share of the loss
    temperature: float = 1.0  # what logits are divided by: beside a teacher's, and to draw rollouts

    # Rewards.
    reward: Mapping[str, float] = field(default_factory=lambda: {"exact": 1.0})  # weights by name
    rollouts: int = 8  # of a prompt
    prompts: int = 32  # of a step
    iterations: int = 1  # steps that learn from the same rollouts
    policy_loss: str = GRPO  # of POLICY_LOSSES
    scale_rewards: str = GROUP  # of SCALES
    epsilon: float = 0.2  # how far a ratio may fall below 1
    epsilon_high: float | None = None  # and rise above it, None for as far
    kl_weight: float = 0.0  # of the divergence from the reference
    constrained: bool = False  # whether rollouts are held to the job's constraint

    # The machine.
    moments: str = AUTO  # of MOMENTS
    threads: int | None = None  # torch's, None as torch likes
    device: str = AUTO_DEVICE  # or one of TORCH_DEVICES
    keep: str = "auto"  # whether a base in blocks stays in them ("packed"), or is unpacked ("float")

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
        if self.given is not None:
            origin = f"{self.gentle:g} of the {self.given:g} given, to go on from an adapter"
        if self.only_rough:
            origin = "from the first adapter's"
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


# Where training all of a new model wants other values than an adapter: there is no format to prepare for, a
# checkpoint is all of the model and twice that, and weights that start at random may be held back a little.
SCRATCH_DEFAULTS: dict[str, Any] = {"rough": None, "renew": 200, "weight_decay": 0.01, "floor": 0.02}
