"""Fitting a router from hidden states."""

from __future__ import annotations

from typing import Any

import pytest

from tinsmith.data import off_topic
from tinsmith.errors import InputError
from tinsmith.formats.router import Router
from tinsmith.train.adapters import router

np = pytest.importorskip("numpy")
pytest.importorskip("torch")

DIM = 24
CENTRES = np.random.default_rng(0).normal(size=(4, DIM)) * 3
TASKS = ("doors", "lamps", "timers")


def drawn(count: int, seed: int, spread: Any = None) -> tuple[Any, list[str], Any]:
    """Prompts of three tasks, and of none, around centres; spread: what turns the noise, [DIM, DIM]."""
    source = np.random.default_rng(seed)
    noise = source.normal(size=(4, count, DIM)) @ (np.eye(DIM) if spread is None else spread)
    states = CENTRES[:, None] + noise
    return states[:3].reshape(-1, DIM), [task for task in TASKS for _ in range(count)], states[3]


def routed(given: Router, states: Any) -> list[str | None]:
    weights = np.array(given.weights).reshape(-1, given.dim)
    scores = np.asarray(states) @ weights.T + np.array(given.bias)
    shares = np.exp(scores - scores.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    best = shares[:, : len(given.tasks)].argmax(1)
    taken = shares[np.arange(len(best)), best] >= np.array(given.least)[best]
    return [given.tasks[k] if yes else None for k, yes in zip(best, taken, strict=True)]


def test_what_lies_apart_is_told_apart_by_centroids() -> None:
    fitted = router.fit(*drawn(40, 1), source=bytes(range(32)))
    assert fitted.method == router.CENTROIDS
    assert (fitted.right, fitted.rejected, fitted.held_out) == (1.0, 1.0, (120, 40))
    assert (fitted.router.tasks, fitted.router.dim, fitted.router.source) == (TASKS, DIM, bytes(range(32)))
    states, labels, others = drawn(200, 2)
    assert routed(fitted.router, states) == labels
    assert routed(fitted.router, others) == [None] * 200


def test_more_than_centroids_is_fitted_where_that_helps() -> None:
    """Noise along one line hides the centres from distances that know of no correlation."""
    line = np.ones((DIM, DIM)) * 2 + np.eye(DIM) * 0.5
    fitted = router.fit(*drawn(80, 1, line))
    assert fitted.method != router.CENTROIDS
    states, labels, others = drawn(200, 2, line)
    assert np.mean([a == b for a, b in zip(routed(fitted.router, states), labels, strict=True)]) > 0.98
    assert np.mean([one is None for one in routed(fitted.router, others)]) > 0.95


def test_the_same_seed_gives_the_same_router() -> None:
    given = drawn(20, 1, np.eye(DIM) * 3)
    assert router.fit(*given, seed=4) == router.fit(*given, seed=4)


def test_without_off_topic_prompts() -> None:
    """Some of what is like none is rejected all the same, and nearly all of the tasks' own are kept."""
    states, labels, _ = drawn(200, 1)
    fitted = router.fit(states, labels)
    assert fitted.rejected is None
    assert fitted.right >= 0.99
    middle = CENTRES[:3].mean(0)
    assert routed(fitted.router, [middle]) == [None]


def test_what_can_not_be_fitted() -> None:
    states, labels, others = drawn(10, 1)
    one = [k for k, label in enumerate(labels) if label == "lamps"]
    fitted = router.fit(states[one], ["lamps"] * len(one), others)
    assert set(routed(fitted.router, states[one])) == {"lamps"}
    for given, said in (
        ((states[one], ["lamps"] * len(one)), "one task needs prompts that are for none"),
        ((states, labels[:-1]), r"states of shape \(30, 24\) for 29 labels"),
        ((states[:13], labels[:13]), "too few prompts of lamps"),
        ((states, labels, others[:2]), "too few off-topic prompts"),
    ):
        with pytest.raises(InputError, match=said):
            router.fit(*given)


def test_the_prompts_about_anything_are_many() -> None:
    assert len(set(off_topic.PROMPTS)) == len(off_topic.PROMPTS) > 150
    assert all(prompt.strip() == prompt != "" for prompt in off_topic.PROMPTS)
