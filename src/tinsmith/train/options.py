"""The options of a training run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tinsmith import tasks

if TYPE_CHECKING:
    from tinsmith.quant.presets import Mix

# Default passes over the training examples; the second with augmented examples.
EPOCHS, MADE_EPOCHS = 3, 8
# Passes over new examples for an adapter that has learned others: at least these, and this share of the usual.
UPDATE_EPOCHS, UPDATE_SHARE = 2, 0.5
LOGS = ("csv", "tensorboard")  # kinds of curve files
# Whether to train on all examples again besides continuing an adapter: if it forgot too much, or always.
RETRAINS = RETRAIN_AUTO, RETRAIN_ALWAYS, RETRAIN_NEVER = "auto", "always", "never"
BASE_TEACHER = "base"  # the base itself, with examples in its context
AUTO_DEVICE = "auto"
TORCH_DEVICES = ("cuda", "mps", "cpu")  # in the order of "auto"


# Parts that an adapter may change: the language model, and a vision model's encoder and projector.
LANGUAGE, PROJECTOR, VISION_ENCODER = "language", "projector", "vision_encoder"
PARTS = (LANGUAGE, PROJECTOR, VISION_ENCODER)


@dataclass(frozen=True)
class TrainOptions:
    """Options of all methods; each reads its own."""

    # Prompts, and the longest example.
    task: str = tasks.DEFAULT  # its name
    system: str = ""  # the recipe's system prompt
    max_length: int = 512  # tokens of the longest example allowed

    # The adapter.
    rank: int = 16
    alpha: float = 32.0
    targets: tuple[str, ...] = ()  # linear layers to adapt, by their names in transformers; none for all
    parts: tuple[str, ...] = (LANGUAGE,)  # of PARTS
    prefix_length: int = 16  # length of a prefix

    # Steps.
    epochs: int = EPOCHS
    batch_tokens: int = 640  # of a batch, without the shared prefix
    learning_rate: float | None = None  # None to choose by the model's size
    search: float = 0.0  # the share of the run's steps for trials of rates, 0 for none
    tried: int = 0  # the candidates of the search that chose learning_rate, 0 without one
    gentle: float = 1.0  # factor of the default rate
    given: float | None = None  # the rate that learning_rate is a fraction of, if one is stated
    warmup: float = 0.06  # the share of the steps in which the rate rises
    floor: float = 0.1  # the share of the rate left at the end
    weight_decay: float = 0.0
    clip: float = 1.0
    originals_once: bool = False  # whether an augmented example replaces its original after the first epoch
    average: float = 0.0  # the share of the steps whose weights are averaged, besides the latest ones
    replay: float = 0.5  # the share of an epoch's sequences that replays earlier examples

    # Several runs, of which the best or the mean is kept.
    seeds: int = 1
    seed: int = 0  # decides the held-out rows
    offset: int = 0  # differs between the runs of one job
    mean_of: int = 1  # number of runs whose mean a trainee has

    # The weight format whose errors training simulates.
    qat: str | Mix | None = "Q4_0"  # a preset, or formats by tensor; None for none
    only_qat: bool = False  # in every step and validation, not in every other step
    renew: int = 50  # steps between checkpoints, after which the errors are computed again

    # Preferences.
    beta: float = 0.1  # weight of the reference, in ORPO of the odds ratio

    # A teacher.
    teacher: str | None = None  # the path of its model, or BASE_TEACHER

    # Rewards.
    reward: Mapping[str, float] = field(default_factory=lambda: {"exact": 1.0})  # weights by name
    rollouts: int = 8  # rollouts per prompt
    prompts: int = 32  # prompts per step

    # The machine.
    threads: int | None = None  # torch's, None for torch's default
    device: str = AUTO_DEVICE  # or one of TORCH_DEVICES
    weights: str = "auto"  # whether a quantized base stays so ("quantized") or is dequantized ("float")

    @property
    def run_seed(self) -> int:
        return self.seed + self.offset

    def widened(self, count: int) -> TrainOptions:
        """For the mean of that many adapters: the ranks side by side, with the scale unchanged."""
        return replace(self, rank=self.rank * count)

    def rate(self, default: tuple[float, str]) -> tuple[float, str]:
        """The learning rate, stated or default, and the reason in words."""
        given = self.learning_rate
        if given is None and self.gentle != 1:
            rate = float(f"{default[0] * self.gentle:.2g}")
            return rate, f"learning rate {rate:g}, {self.gentle:g} of a new adapter's, to go on from one"
        if given is None:
            return default
        origin = f"the best of {self.tried} tried" if self.tried else "as given"
        if self.given is not None:
            origin = f"{self.gentle:g} of the {self.given:g} given, to go on from an adapter"
        if self.only_qat:
            origin = "from the first adapter's"
        return given, f"learning rate {given:g}, {origin}"


@dataclass(frozen=True)
class ScratchOptions:
    """The sizes of a new model.

    parameters: their approximate number, or if hidden is stated, the layers and widths, None to derive a size;
    vocabulary: most tokens; context: tokens of the longest text. For examples with images: image_size: pixels
    per side that images are scaled to; patch_size: pixels per side of a patch; patch_merge: patches per side of
    the square that becomes a token; vision_layers, vision_hidden: of the vision encoder.
    """

    parameters: int = 5_000_000
    vocabulary: int = 2048
    context: int = 256
    layers: int | None = None
    hidden: int | None = None
    image_size: int = 64
    patch_size: int = 8
    patch_merge: int = 2
    vision_layers: int = 4
    vision_hidden: int = 128


# Training a whole new model needs other values than an adapter: it has no format to prepare for, a checkpoint
# takes the model and twice that, and random weights may decay a little.
SCRATCH_DEFAULTS: dict[str, Any] = {"qat": None, "renew": 200, "weight_decay": 0.01, "floor": 0.02}
