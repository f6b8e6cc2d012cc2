"""Fitting a router: a linear map from a prompt's hidden state to one of some tasks, or to none of them.

The first candidate is the nearest centroid under a shared diagonal covariance, then under more of the
covariance as it is (regularized discriminant analysis, Friedman 1989), then logistic regressions with less and
less weight decay. Each is fitted on some of the prompts and softened by a temperature (Guo et al., "On
calibration of modern neural networks", 2017) on those held out; the one with the fewest errors there is taken,
the first of equals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinsmith.errors import InputError
from tinsmith.formats.router import Router

Floats = np.ndarray[Any, np.dtype[np.float64]]
Indices = np.ndarray[Any, np.dtype[np.int64]]

CENTROIDS = "centroids"
_SHRUNK = (0.2, 0.05, 0.01)  # the diagonal's share of a covariance
_DECAYS = (1e-2, 1e-3, 1e-4)
_HELD_OUT = 4  # every fourth prompt, where there is no validation set
_KEPT = 0.995  # of the tasks' held-out prompts, where there are no off-topic ones to weigh them against
_SOFTER = [2.0 ** (-k / 4) for k in range(41)]
_WORSE = 5  # a task's prompt that goes wrong, than another one that is taken
_MOST = 0.999  # that is asked for of a probability


# Of prompts for tasks and for none: states [n, dim], the tasks' names, and states [m, dim] or None.
Prompts = tuple[Any, Sequence[str], Any]


@dataclass(frozen=True)
class Fitted:
    """method: which candidate it is. right: the share of the tasks' held-out prompts that it gives to their
    task; rejected: of those for none, which it gives to none (None: there were
    none); held_out: how many there were of both."""

    router: Router
    method: str
    right: float
    rejected: float | None
    held_out: tuple[int, int]


@dataclass(frozen=True)
class _Head:
    method: str
    weights: Floats  # [rows, dim], the last row none's
    bias: Floats  # [rows]

    def scores(self, states: Floats) -> Floats:
        return states @ self.weights.T + self.bias

    def softer(self, factor: float) -> _Head:
        return _Head(self.method, self.weights * factor, self.bias * factor)


def fit(
    states: Any,
    labels: Sequence[str],
    off_topic: Any = None,
    *,
    validation: Prompts | None = None,
    seed: int = 0,
    source: bytes = bytes(32),
) -> Fitted:
    """A router of the tasks that the labels name, in the order of their names.

    states: of the tasks' prompts, [n, dim]. off_topic: of prompts that are for none of them, [m, dim].
    validation: states, labels and off_topic that choose among candidates, their temperatures and the threshold;
    None: a quarter of the prompts, which are then not fitted on. The threshold is the one with the fewest
    errors, where the share of the tasks' prompts that go wrong weighs five times that of the others that are
    taken; without any of these, the one that keeps 99.5 % of the tasks' prompts. source: as Router's.

    Raises InputError where there is nothing to tell apart: a single task without prompts for none, or a task
    without prompts on either side.
    """
    tasks = sorted(set(labels))
    x, y = _arrays((states, labels, off_topic), tasks)
    if validation is None:
        kept = _kept(y, seed)
        x, y, held, truth = x[kept], y[kept], x[~kept], y[~kept]
    else:
        held, truth = _arrays(validation, tasks)
    for number, task in enumerate(tasks):
        if not (y == number).any() or not (truth == number).any():
            raise InputError(
                f"the router has no prompts of the task {task} to fit on or to hold out; give more"
            )
    has_none = bool((y == len(tasks)).any())
    if not tasks or (len(tasks) == 1 and not has_none):
        raise InputError("a router of one task needs prompts that are for none, to tell them apart")
    best: tuple[float, _Head, float] | None = None
    for head in _candidates(x, y, len(tasks)):
        calibrated = _calibrated(head, held, truth)
        shares = _softmax(calibrated.scores(held))
        least = _threshold(shares, truth, len(tasks))
        wrong = _errors(shares, truth, len(tasks), least)
        if best is None or wrong < best[0]:
            best = (wrong, calibrated, least)
    assert best is not None
    _, head, least = best
    right, rejected = _measured(_softmax(head.scores(held)), truth, len(tasks), least)
    router = Router(
        tuple(tasks),
        x.shape[1],
        head.weights.astype(np.float32).ravel().tolist(),
        head.bias.astype(np.float32).tolist(),
        [least] * len(tasks),
        source,
    )
    count = int((truth < len(tasks)).sum())
    return Fitted(router, head.method, right, rejected, (count, len(truth) - count))


def _kept(y: Indices, seed: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """All but a quarter of each task's prompts."""
    kept = np.ones(len(y), bool)
    order = np.random.default_rng(seed).permutation(len(y))
    for task in range(int(y.max(initial=-1)) + 1):
        kept[order[y[order] == task][_HELD_OUT - 1 :: _HELD_OUT]] = False
    return kept


def _arrays(prompts: Prompts, tasks: Sequence[str]) -> tuple[Floats, Indices]:
    """All states, and the number of each one's task, that of none behind the others."""
    states, labels, off_topic = prompts
    x = np.asarray(states, np.float64)
    if x.ndim != 2 or len(x) != len(labels):
        raise InputError(f"states of shape {x.shape} for {len(labels)} labels; give a row for each")
    numbers = {task: number for number, task in enumerate(tasks)}
    unknown = next((label for label in labels if label not in numbers), None)
    if unknown is not None:
        raise InputError(f"a held-out prompt is of the task {unknown}, which has none to fit on")
    y = [numbers[label] for label in labels]
    if off_topic is not None and len(off_topic):
        x = np.concatenate([x, np.asarray(off_topic, np.float64)])
        y += [len(tasks)] * len(off_topic)
    return x, np.array(y, np.int64)


def _candidates(x: Floats, y: Indices, tasks: int) -> list[_Head]:
    """Fitted where each number is centred and divided by its deviation within the tasks. Without prompts for
    none, none's row is that of a prompt in the middle of all."""
    rows = tasks + 1 if (y == tasks).any() else tasks
    means = np.stack([x[y == k].mean(0) for k in range(rows)])
    middle = means.mean(0)
    spread = np.sqrt(((x - means[y]) ** 2).mean(0)) + 1e-6 * (x.std() + 1e-30)
    u, centres = (x - middle) / spread, (means - middle) / spread
    found = [(CENTROIDS, centres, -(centres**2).sum(1) / 2)]
    apart = u - centres[y]
    shared = apart.T @ apart / len(u)
    for share in _SHRUNK:
        mixed = (1 - share) * shared + share * np.diag(np.diag(shared) + 1e-9)
        towards = np.linalg.solve(mixed, centres.T).T
        found.append((f"discriminant, {share:g} of the diagonal", towards, -(centres * towards).sum(1) / 2))
    found += [(f"trained, decay {decay:g}", *_trained(u, y, rows, decay)) for decay in _DECAYS]
    heads = []
    for method, weights, bias in found:
        if rows == tasks:
            weights, bias = np.vstack([weights, np.zeros(u.shape[1])]), np.append(bias, 0.0)
        heads.append(_Head(method, weights / spread, bias - (weights / spread) @ middle))
    return heads


def _trained(u: Floats, y: Indices, rows: int, decay: float) -> tuple[Floats, Floats]:
    """Multinomial logistic regression, each class weighing the same."""
    import torch

    x, labels = torch.from_numpy(u), torch.from_numpy(y)
    shares = torch.bincount(labels, minlength=rows).double()
    weights = torch.zeros(rows, u.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(rows, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([weights, bias], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        search.zero_grad()
        value = torch.nn.functional.cross_entropy(x @ weights.T + bias, labels, len(y) / rows / shares)
        value = value + decay * (weights**2).sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    search.step(loss)  # type: ignore[no-untyped-call]
    return weights.detach().numpy(), bias.detach().numpy()


def _softmax(scores: Floats) -> Floats:
    shares = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(shares / shares.sum(1, keepdims=True))


def _calibrated(head: _Head, x: Floats, y: Indices) -> _Head:
    """The head, softened so that the right rows are the likeliest on these."""

    def surprise(factor: float) -> float:
        shares = _softmax(head.scores(x) * factor)[np.arange(len(y)), y]
        return -float(np.log(shares + 1e-300).mean())

    return head.softer(min(_SOFTER, key=surprise))


def _measured(shares: Floats, y: Indices, tasks: int, least: float) -> tuple[float, float | None]:
    """The share of the tasks' prompts that come to their task, and of the others that come to none."""
    best = shares[:, :tasks].argmax(1)
    taken = shares[np.arange(len(y)), best] >= least
    own = y < tasks
    right = float((taken & (best == y))[own].mean())
    return right, None if own.all() else float((~taken)[~own].mean())


def _errors(shares: Floats, y: Indices, tasks: int, least: float) -> float:
    right, rejected = _measured(shares, y, tasks, least)
    return _WORSE * (1 - right) + (0 if rejected is None else 1 - rejected)


def _threshold(shares: Floats, y: Indices, tasks: int) -> float:
    """In the middle, by the logarithm of the odds, of those with the fewest errors."""
    own = y < tasks
    best = shares[:, :tasks].max(1)
    if own.all():
        return min(_MOST, float(np.quantile(best, 1 - _KEPT)))
    inside = np.clip(best, 1e-12, 1 - 1e-12)
    odds = np.unique(np.log(inside) - np.log1p(-inside))
    between = np.concatenate([odds[:1] - 1, (odds[1:] + odds[:-1]) / 2])
    tried = [1 / (1 + math.exp(-one)) for one in between]
    wrong = [_errors(shares, y, tasks, one) for one in tried]
    fewest = [one for one, count in zip(tried, wrong, strict=True) if count == min(wrong)]
    return min(_MOST, fewest[len(fewest) // 2])
