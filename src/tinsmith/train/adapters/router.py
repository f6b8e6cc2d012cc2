"""Fits a router: a linear map from a prompt's hidden state to a task or to none.

The first candidate is the nearest centroid under a shared diagonal covariance. The next ones use more of the
full covariance (regularized discriminant analysis, Friedman 1989), the last ones logistic regression with
decreasing weight decay. Each is measured on prompts that it was not fitted on, with a temperature fitted there
(Guo et al., "On calibration of modern neural networks", 2017). The candidate with the fewest errors wins, the
first among equals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tinsmith.errors import InputError
from tinsmith.formats.router import Router

Floats = np.ndarray[Any, np.dtype[np.float64]]
Indices = np.ndarray[Any, np.dtype[np.int64]]

CENTROIDS = "centroids"
_SHRUNK = (0.2, 0.05, 0.01)  # the diagonal's share of a covariance
_DECAYS = (1e-2, 1e-3, 1e-4)
_FOLDS = 4  # of cross-validation
LEAST = _FOLDS  # prompts of a task, or off-topic prompts
_KEPT = 0.995  # of the tasks' held-out prompts kept, without off-topic prompts to weigh them against
_SOFTER = [2.0 ** (-k / 4) for k in range(41)]
_WORSE = 5  # weight of a task's misrouted prompt against an accepted off-topic one
_MOST = 0.999  # of a probability


@dataclass(frozen=True)
class Fitted:
    """method: the name of the candidate. right: the share of the tasks' held-out prompts routed to their task;
    rejected: of the off-topic ones, routed to none (None: there were none); held_out: the number of both."""

    router: Router
    method: str
    right: float
    rejected: float | None
    held_out: tuple[int, int]


@dataclass(frozen=True)
class _Head:
    method: str
    weights: Floats  # [rows, dim], the last row for none
    bias: Floats  # [rows]

    def scores(self, states: Floats) -> Floats:
        return states @ self.weights.T + self.bias


def fit(
    states: Any, labels: Sequence[str], off_topic: Any = None, *, seed: int = 0, source: bytes = bytes(32)
) -> Fitted:
    """Fits a router of the tasks that the labels name, in the order of their names.

    states: of the tasks' prompts, [n, dim]. off_topic: of prompts for none of them, [m, dim]. Each quarter of
    the prompts in turn is held out from the candidates' fits, to choose the candidate, its temperature and the
    threshold. source: as Router's.

    The threshold has the fewest errors, where the share of misrouted task prompts counts five times the share
    of accepted off-topic ones. Without off-topic prompts, it keeps 99.5 % of the tasks' prompts. Raises
    InputError for a single task without off-topic prompts, or too few prompts of a task.
    """
    x, tasks = np.asarray(states, np.float64), sorted(set(labels))
    if x.ndim != 2 or len(x) != len(labels):
        raise InputError(f"states of shape {x.shape} for {len(labels)} labels; give a row for each")
    y = np.array([tasks.index(label) for label in labels], np.int64)
    for number, task in enumerate(tasks):
        if (y == number).sum() < LEAST:
            raise InputError(f"the router has too few prompts of {task}: give {LEAST} at least")
    count = len(y)
    if off_topic is not None and len(off_topic):
        if len(off_topic) < LEAST:
            raise InputError(f"the router has too few off-topic prompts: give {LEAST} at least, or none")
        x = np.concatenate([x, np.asarray(off_topic, np.float64)])
        y = np.append(y, [len(tasks)] * len(off_topic))
    if not tasks or (len(tasks) == 1 and len(y) == count):
        raise InputError("a router of one task needs prompts that are for none, to tell them apart")
    heads = _candidates(x, y, len(tasks))
    judged = [_Judged.of(scores, y, len(tasks)) for scores in _crossed(x, y, len(tasks), seed)]
    head, judgement = min(zip(heads, judged, strict=True), key=lambda one: one[1].wrong(one[1].least))
    factor, (right, rejected) = judgement.factor, judgement.measured(judgement.least)
    router = Router(
        tuple(tasks),
        x.shape[1],
        (head.weights * factor).astype(np.float32).ravel().tolist(),
        (head.bias * factor).astype(np.float32).tolist(),
        [judgement.least] * len(tasks),
        source,
    )
    return Fitted(router, head.method, right, rejected, (count, len(y) - count))


def _crossed(x: Floats, y: Indices, tasks: int, seed: int) -> list[Floats]:
    """By candidate, the scores of all prompts, each by a fit without its quarter of the task's prompts."""
    fold = np.empty(len(y), np.int64)
    order = np.random.default_rng(seed).permutation(len(y))
    for task in range(tasks + 1):
        own = order[y[order] == task]
        fold[own] = np.arange(len(own)) % _FOLDS
    scores: list[Floats] = []
    for k in range(_FOLDS):
        for number, head in enumerate(_candidates(x[fold != k], y[fold != k], tasks)):
            if k == 0:
                scores.append(np.empty((len(y), len(head.bias))))
            scores[number][fold == k] = head.scores(x[fold == k])
    return scores


def _candidates(x: Floats, y: Indices, tasks: int) -> list[_Head]:
    """Fits on features that are centred and divided by their deviation within the tasks. Without off-topic
    prompts, the row for none is that of a prompt in the middle of all."""
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
    found += [
        (f"trained, decay {decay:g}", *one) for decay, one in zip(_DECAYS, _trained(u, y, rows), strict=True)
    ]
    heads = []
    for method, weights, bias in found:
        if rows == tasks:
            weights, bias = np.vstack([weights, np.zeros(u.shape[1])]), np.append(bias, 0.0)
        heads.append(_Head(method, weights / spread, bias - (weights / spread) @ middle))
    return heads


def _trained(u: Floats, y: Indices, rows: int) -> list[tuple[Floats, Floats]]:
    """Multinomial logistic regression with each weight decay; all classes weigh the same."""
    import torch

    x, labels = torch.from_numpy(u), torch.from_numpy(y)
    weigh = len(y) / rows / torch.bincount(labels, minlength=rows).double()
    weights = torch.zeros(rows, u.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(rows, dtype=torch.float64, requires_grad=True)

    def fitted(decay: float) -> tuple[Floats, Floats]:
        search = torch.optim.LBFGS([weights, bias], max_iter=100, line_search_fn="strong_wolfe")

        def loss() -> torch.Tensor:
            search.zero_grad()
            value = torch.nn.functional.cross_entropy(x @ weights.T + bias, labels, weigh)
            value = value + decay * (weights**2).sum()
            value.backward()  # type: ignore[no-untyped-call]
            return value

        search.step(loss)  # type: ignore[no-untyped-call]
        return weights.detach().numpy().copy(), bias.detach().numpy().copy()

    return [fitted(decay) for decay in _DECAYS]  # each starts from the one before


def _softmax(scores: Floats) -> Floats:
    shares = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(shares / shares.sum(1, keepdims=True))


@dataclass(frozen=True)
class _Judged:
    """A candidate's scores of held-out prompts. shares: with the temperature that maximizes the right rows'
    likelihood; factor: its inverse, of the scores."""

    shares: Floats
    factor: float
    y: Indices
    tasks: int

    @classmethod
    def of(cls, scores: Floats, y: Indices, tasks: int) -> _Judged:
        def surprise(factor: float) -> float:
            return -float(np.log(_softmax(scores * factor)[np.arange(len(y)), y] + 1e-300).mean())

        factor = min(_SOFTER, key=surprise)
        return cls(_softmax(scores * factor), factor, y, tasks)

    def measured(self, least: float) -> tuple[float, float | None]:
        """By a threshold, the shares of the tasks' prompts routed to their task, and of off-topic ones
        rejected."""
        best = self.shares[:, : self.tasks].argmax(1)
        taken = self.shares[np.arange(len(best)), best] >= least
        own = self.y < self.tasks
        right = float((taken & (best == self.y))[own].mean())
        return right, None if own.all() else float((~taken)[~own].mean())

    def wrong(self, least: float) -> float:
        right, rejected = self.measured(least)
        return _WORSE * (1 - right) + (0 if rejected is None else 1 - rejected)

    @cached_property
    def least(self) -> float:
        """The best threshold: the middle, on the scale of log odds, of those with the fewest errors."""
        best = self.shares[:, : self.tasks].max(1)
        if (self.y < self.tasks).all():
            return min(_MOST, float(np.quantile(best, 1 - _KEPT)))
        inside = np.clip(best, 1e-12, 1 - 1e-12)
        odds = np.unique(np.log(inside) - np.log1p(-inside))
        between = np.concatenate([odds[:1] - 1, (odds[1:] + odds[:-1]) / 2])
        tried = [1 / (1 + math.exp(-one)) for one in between]
        wrong = [self.wrong(one) for one in tried]
        fewest = [one for one, count in zip(tried, wrong, strict=True) if count == min(wrong)]
        return min(_MOST, fewest[len(fewest) // 2])
