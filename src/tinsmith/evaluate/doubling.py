"""The expected gain of twice the examples: a power law fitted to the errors of smaller trainings, extrapolated.

Errors of many tasks fall as a power of the number of examples (Cortes et al., "Learning curves: asymptotic
values and rate of convergence", 1993; Hestness et al., arXiv 1712.00409). The interval comes from a percentile
bootstrap over the test items, drawn together for all sizes. It leaves out the effect of another training seed,
and a floor that more examples can't pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tinsmith.evaluate.metrics import RESAMPLES, SEED

if TYPE_CHECKING:
    import numpy as np

LEAST_SIZES = 3
LEAST_GAIN = 0.01  # a share of right answers that is worth collecting for


@dataclass(frozen=True)
class Doubling:
    """examples: twice those of the largest training; exact: the share of right answers there, by `error = scale
    * examples ** -power`; gain: over the largest training, by the same fit; the intervals are of 95 %. why: the
    reason why the estimate is unreliable, or empty; the figures are None for too few sizes. check: the
    prediction for the largest size from a fit to the others."""

    examples: int
    why: str
    exact: float | None = None
    exact_interval: tuple[float, float] | None = None
    gain: float | None = None
    gain_interval: tuple[float, float] | None = None
    scale: float | None = None
    power: float | None = None
    check: float | None = None

    @property
    def is_worth(self) -> bool:
        """Whether twice the examples should bring a gain, by a reliable estimate."""
        return not self.why and self.gain is not None and self.gain >= LEAST_GAIN


def next_doubling(
    right: Mapping[int, Sequence[bool]], resamples: int = RESAMPLES, seed: int = SEED
) -> Doubling:
    """right: by the number of examples, whether the answer to each test item is right."""
    import numpy as np

    sizes = sorted(right)
    double = 2 * sizes[-1]
    if len(sizes) < LEAST_SIZES:
        count = f"{len(sizes)} size{'s' if len(sizes) > 1 else ''}"
        return Doubling(double, f"{count} of training data; a line through them needs {LEAST_SIZES}")
    wrong = ~np.array([right[size] for size in sizes], dtype=bool)  # (sizes, items)
    items = wrong.shape[1]
    logs = np.log(np.array(sizes, dtype=float))
    drawn = np.random.default_rng(seed).integers(0, items, (resamples, items))
    counts = np.stack([wrong[row][drawn].sum(axis=1) for row in range(len(sizes))], axis=1)
    scale, power = _fit(logs, wrong.sum(axis=1)[None, :], items)
    scales, powers = _fit(logs, counts, items)

    def at(where: float, scale: np.ndarray[Any, Any], power: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        shares: np.ndarray[Any, Any] = np.minimum(1.0, np.exp(scale - power * np.log(where)))
        return shares

    then, now = at(double, scale, power)[0], at(sizes[-1], scale, power)[0]
    many = at(double, scales, powers)
    gains = at(sizes[-1], scales, powers) - many
    low, high = (float(value) for value in np.percentile(gains, [2.5, 97.5]))
    worst, best = (float(value) for value in np.percentile(1 - many, [2.5, 97.5]))
    check = None
    if len(sizes) > LEAST_SIZES:
        check = 1 - float(at(sizes[-1], *_fit(logs[:-1], wrong[:-1].sum(axis=1)[None, :], items))[0])
    why = ""
    if low <= 0:
        why = "the errors of these sizes do not fall beyond what other test items could show"
    return Doubling(
        examples=double,
        why=why,
        exact=float(1 - then),
        exact_interval=(worst, best),
        gain=float(now - then),
        gain_interval=(low, high),
        scale=float(np.exp(scale[0])),
        power=float(power[0]),
        check=check,
    )


def _fit(
    logs: np.ndarray[Any, Any], wrong: np.ndarray[Any, Any], items: int
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The logarithm of the scale, and the power, of each row of wrong answers, by least squares on logarithms.

    Half an error is added to each count and to what is right, so that none is infinite; a point counts by the
    inverse of its logarithm's variance, (1 - p) / p / items."""
    import numpy as np

    shares = (wrong + 0.5) / (items + 1)
    weights = shares / (1 - shares)
    values = np.log(shares)
    total = weights.sum(axis=1)
    x, y = (weights * logs).sum(axis=1) / total, (weights * values).sum(axis=1) / total
    spread = (weights * (logs - x[:, None]) ** 2).sum(axis=1)
    slope = (weights * (logs - x[:, None]) * (values - y[:, None])).sum(axis=1) / spread
    return y - slope * x, -slope
