"""Defaults of training: learning rates, each with its reason in words, and epochs."""

from __future__ import annotations

import math
from collections.abc import Callable

from tinsmith.train.options import EPOCHS, MADE_EPOCHS

# From a model's parameters and a run's steps to a rate, and the reason in words.
Rule = Callable[[int, int], tuple[float, str]]

# With augmentation: least and most examples in all epochs, and the bounds of epochs.
MADE_READ, MANY_READ = 1600, 12_000
LEAST_EPOCHS, MOST_EPOCHS = 4, 16
MANY = 1500  # examples from which originals are read in the first epoch only
MORE_EPOCHS = 1.5  # then a multiple of the epochs, in about the same steps
LABELS_READ = 1800  # examples in all epochs to learn a few labels
SHORT_RUN = 190  # steps of the run that LoRA's rate is stated for
SHORTEST_RUN = 72  # steps of the sweep: a shorter run takes its rate
SWEPT = 2e6, 135e6  # parameters of the sweep's smallest and largest base


def default_scratch_rate(parameters: int, steps: int) -> tuple[float, str]:
    """The rate for training a new model of that many parameters, and the reason in words: 4e-3 at a million,
    falling with the fourth root of the size."""
    rate = float(f"{min(8e-3, 4e-3 * (1e6 / parameters) ** 0.25):.2g}")
    return rate, f"learning rate {rate:g}, chosen for {parameters / 1e6:.1f} million new parameters"


def default_preference_rate(parameters: int, steps: int) -> tuple[float, str]:
    """The rate for LoRA on preferences or rewards: a tenth of that on examples."""
    rate = float(f"{default_learning_rate(parameters, SHORT_RUN)[0] / 10:.2g}")
    return rate, f"learning rate {rate:g}, chosen for {_sized(parameters)}"


def default_prefix_rate(parameters: int, steps: int) -> tuple[float, str]:
    """The rate for the states of a prefix, which have the size of activations whatever the base's size: the
    best of 0.001, 0.01 and 0.05 for SmolLM2-135M."""
    return 5e-2, f"learning rate 0.05, chosen for a prefix{_beyond(parameters)}"


def default_full_rate(parameters: int, steps: int) -> tuple[float, str]:
    """The rate for training every weight of a base of that many parameters, and the reason in words: a tenth of
    LoRA's, the ratio that Schulman et al. (LoRA Without Regret, 2025) measured across sizes."""
    rate = float(f"{default_learning_rate(parameters, steps)[0] / 10:.2g}")
    return rate, _chosen(rate, parameters, steps)


def default_learning_rate(parameters: int, steps: int) -> tuple[float, str]:
    """The rate for LoRA by a base's parameters and the run's steps, and the reason in words.

    Fitted to a sweep of 72 steps (docs/benchmarks.md): 6.3e-3, 5.7e-3 and 3.7e-3 were best for bases of 2, 8
    and 135 million parameters. It falls with the root of a run's steps: of 2.5e-3, 1.2e-3 and 6e-4 the second
    was best on the home task in 813 steps. Beyond 135 million it extrapolates, by the root of the size, to the
    usual rate of large models: 2e-4 at 20 billion in 190 steps.
    """
    least, most = SWEPT
    size = most / max(parameters, least)
    size = size**0.12 if size > 1 else math.sqrt(size)
    rate = float(f"{2.5e-3 * size * math.sqrt(SHORT_RUN / max(steps, SHORTEST_RUN)):.2g}")
    return rate, _chosen(rate, parameters, steps)


def default_label_epochs(examples: int) -> int:
    """Passes over that many examples with labels as answers: each teaches little, so few examples need many
    passes."""
    return max(EPOCHS, min(MADE_EPOCHS, round(LABELS_READ / max(examples, 1))))


def default_made_epochs(examples: int, originals_once: bool) -> int:
    """Passes over that many examples with augmentation, which makes new ones for each pass: more for few
    examples, fewer for many. originals_once: whether originals are in the first pass only."""
    count = max(examples, 1)
    enough, most = (round(read / count) for read in (MADE_READ, MANY_READ))
    epochs = min(MOST_EPOCHS, max(MADE_EPOCHS, enough), max(LEAST_EPOCHS, most))
    return round(MORE_EPOCHS * epochs) if originals_once and examples >= MANY else epochs


def default_originals_once(examples: int) -> bool:
    """Whether that many augmented examples have their originals in the first pass only: with more originals,
    each pass gains more from its new examples."""
    return examples >= MANY


def _chosen(rate: float, parameters: int, steps: int) -> str:
    return f"learning rate {rate:g}, chosen for {_sized(parameters)}, {steps:,} steps"


def _sized(parameters: int) -> str:
    size = f"{parameters / 1e6:.0f} million" if parameters >= 1e7 else f"{parameters:,}"
    return f"{size} parameters{_beyond(parameters)}"


def _beyond(parameters: int) -> str:
    return ", extrapolated from 135 million" if parameters > 1.1 * SWEPT[1] else ""
