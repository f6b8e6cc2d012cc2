"""The defaults of training: learning rates, each with its reason in words, and epochs."""

from __future__ import annotations

import math
from collections.abc import Callable

from tinsmith.train.options import EPOCHS, MADE_EPOCHS

# From a model's parameters and a run's steps to a rate, and the reason in words.
Rule = Callable[[int, int], tuple[float, str]]

# Examples in all epochs, at least and at most, where others are made of them in each; and the bounds of epochs.
MADE_READ, MANY_READ = 1600, 12_000
LEAST_EPOCHS, MOST_EPOCHS = 4, 16
MANY = 1500  # examples, from which an example that was read gives way to what is made of it
MORE_EPOCHS = 1.5  # times as many then, in about the same steps
LABELS_READ = 1800  # examples in all epochs, by which a few labels are learned
SHORT_RUN = 190  # steps, for which LoRA's rate is stated
SHORTEST_RUN = 72  # steps of the sweep: a run of fewer takes its rate
SWEPT = 2e6, 135e6  # parameters of the sweep's smallest base, and of its largest


def default_scratch_rate(parameters: int, steps: int) -> tuple[float, str]:
    """The rate for training all of so many parameters from random ones, and the reason in words: 4e-3 at a
    million, falling with the fourth root of the size."""
    rate = float(f"{min(8e-3, 4e-3 * (1e6 / parameters) ** 0.25):.2g}")
    return rate, f"learning rate {rate:g}, chosen for {parameters / 1e6:.1f} million new parameters"


def default_preference_rate(parameters: int, steps: int) -> tuple[float, str]:
    """The rate for LoRA on preferences: a tenth of what examples take."""
    rate = float(f"{default_learning_rate(parameters, SHORT_RUN)[0] / 10:.2g}")
    return rate, f"learning rate {rate:g}, chosen for {_sized(parameters)}"


def default_policy_rate(parameters: int, steps: int) -> tuple[float, str]:
    """The rate for LoRA on rewards: as on preferences, a tenth of what examples take."""
    return default_preference_rate(parameters, steps)


def default_prefix_rate(parameters: int, steps: int) -> tuple[float, str]:
    """The rate for the states of a prefix, which are as large as activations are, whatever the base's size: the
    best of 0.001, 0.01 and 0.05 for SmolLM2-135M."""
    return 5e-2, f"learning rate 0.05, chosen for a prefix{_beyond(parameters)}"


def default_full_rate(parameters: int, steps: int) -> tuple[float, str]:
    """The rate for training every weight of a base of so many parameters, and the reason in words: a tenth of
    LoRA's, the ratio that Schulman et al. (LoRA Without Regret, 2025) measured across sizes."""
    rate = float(f"{default_learning_rate(parameters, steps)[0] / 10:.2g}")
    return rate, _chosen(rate, parameters, steps)


def default_learning_rate(parameters: int, steps: int) -> tuple[float, str]:
    """The rate for LoRA on a base of so many parameters in so many steps, and the reason in words.

    Fitted to a sweep of 72 steps (docs/benchmarks.md): 6.3e-3, 5.7e-3 and 3.7e-3 were best for bases of 2, 8
    and 135 million parameters. It falls with the root of a run's steps: of 2.5e-3, 1.2e-3 and 6e-4 the second
    learned the home task best in 813. Beyond 135 million it is an extrapolation, by the root of the size, to
    what large models take: 2e-4 at 20 billion in 190 steps.
    """
    least, most = SWEPT
    size = most / max(parameters, least)
    size = size**0.12 if size > 1 else math.sqrt(size)
    rate = float(f"{2.5e-3 * size * math.sqrt(SHORT_RUN / max(steps, SHORTEST_RUN)):.2g}")
    return rate, _chosen(rate, parameters, steps)


def default_label_epochs(examples: int) -> int:
    """Passes over so many examples whose answers are labels: each teaches little, so few are read often."""
    return max(EPOCHS, min(MADE_EPOCHS, round(LABELS_READ / max(examples, 1))))


def default_made_epochs(examples: int, originals_once: bool) -> int:
    """Passes over so many examples of which others are made, in each pass others: few are read more often, and
    many less often. originals_once: whether they are read in the first pass only."""
    count = max(examples, 1)
    enough, most = (round(read / count) for read in (MADE_READ, MANY_READ))
    epochs = min(MOST_EPOCHS, max(MADE_EPOCHS, enough), max(LEAST_EPOCHS, most))
    return round(MORE_EPOCHS * epochs) if originals_once and examples >= MANY else epochs


def default_originals_once(examples: int) -> bool:
    """Whether so many examples are read in the first pass only, where others are made of them: the more there
    are, the more the new ones of each pass gain."""
    return examples >= MANY


def _chosen(rate: float, parameters: int, steps: int) -> str:
    return f"learning rate {rate:g}, chosen for {_sized(parameters)}, {steps:,} steps"


def _sized(parameters: int) -> str:
    return f"{_size(parameters)} parameters{_beyond(parameters)}"


def _beyond(parameters: int) -> str:
    return ", extrapolated from 135 million" if parameters > 1.1 * SWEPT[1] else ""


def _size(parameters: int) -> str:
    return f"{parameters / 1e6:.0f} million" if parameters >= 1e7 else f"{parameters:,}"
