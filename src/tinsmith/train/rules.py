"""The learning rates and epochs that training takes where none are stated, and the rates' reasons in words."""

from __future__ import annotations

import math
from collections.abc import Callable

from tinsmith.train.options import EPOCHS, MADE_EPOCHS

# From a model's parameters and a run's steps to a rate, and the reason in words.
Rule = Callable[[int, int], tuple[float, str]]

LABELS_READ = 1800  # examples in all epochs, by which a few labels are learned
SHORT_RUN = 190  # steps, for which no rate has to be lower


def default_scratch_rate(parameters: int, steps: int) -> tuple[float, str]:
    """The rate for training all of so many parameters from random ones, and the reason in words: 4e-3 at a
    million, falling with the fourth root of the size."""
    rate = float(f"{min(8e-3, 4e-3 * (1e6 / parameters) ** 0.25):.2g}")
    return rate, f"learning rate {rate:g}, chosen for {parameters / 1e6:.1f} million new parameters"


def default_preference_rate(parameters: int, steps: int) -> tuple[float, str]:
    """The rate for LoRA on preferences: a tenth of what examples take."""
    rate = float(f"{default_learning_rate(parameters, SHORT_RUN)[0] / 10:.2g}")
    return rate, f"learning rate {rate:g}, chosen for {_size(parameters)} parameters"


def default_policy_rate(parameters: int, steps: int) -> tuple[float, str]:
    """The rate for LoRA on rewards: as on preferences, a tenth of what examples take."""
    return default_preference_rate(parameters, steps)


def default_prefix_rate(parameters: int, steps: int) -> tuple[float, str]:
    """The rate for the states of a prefix, which are as large as activations are, whatever the base's size: the
    best of 0.001, 0.01 and 0.05 for SmolLM2-135M."""
    return 5e-2, "learning rate 0.05, chosen for a prefix"


def default_full_rate(parameters: int, steps: int) -> tuple[float, str]:
    """The rate for training every weight of a base of so many parameters, and the reason in words: a tenth of
    LoRA's, the ratio that Schulman et al. (LoRA Without Regret, 2025) measured across sizes."""
    rate = float(f"{default_learning_rate(parameters, steps)[0] / 10:.2g}")
    return rate, _chosen(rate, parameters, steps)


def default_learning_rate(parameters: int, steps: int) -> tuple[float, str]:
    """The rate for LoRA on a base of so many parameters in so many steps, and the reason in words.

    Fitted to 135 million parameters, where the 2e-4 that large models take learns next to nothing; it falls
    with the root of the size, to 2e-4 at 20 billion, and with the root of a long run's steps: of 2.5e-3, 1.2e-3
    and 6e-4 the second learned the home task best in 813.
    """
    rate = min(4e-3, 2.5e-3 * math.sqrt(135e6 / parameters)) * math.sqrt(SHORT_RUN / max(steps, SHORT_RUN))
    rate = float(f"{rate:.2g}")
    return rate, _chosen(rate, parameters, steps)


def default_label_epochs(examples: int) -> int:
    """Passes over so many examples whose answers are labels: each teaches little, so few are read often."""
    return max(EPOCHS, min(MADE_EPOCHS, round(LABELS_READ / examples)))


def _chosen(rate: float, parameters: int, steps: int) -> str:
    return f"learning rate {rate:g}, chosen for {_size(parameters)} parameters, {steps:,} steps"


def _size(parameters: int) -> str:
    return f"{parameters / 1e6:.0f} million" if parameters >= 1e7 else f"{parameters:,}"
