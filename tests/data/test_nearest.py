"""The nearest rows are those of the same kind, whatever all rows have in common."""

from __future__ import annotations

import numpy as np
import pytest

from tinsmith.data.nearest import COMMON, NEIGHBOURS, nearest

KINDS, EACH, DIM = 12, 30, 48


@pytest.fixture
def vectors() -> np.ndarray:
    """Rows around a centre of their kind, pushed far in few directions by how often they are used."""
    rng = np.random.default_rng(0)
    centres = np.repeat(rng.normal(size=(KINDS, DIM)), EACH, axis=0)
    usual = rng.normal(size=(KINDS * EACH, 4)) @ rng.normal(size=(4, DIM)) * 6 + 20
    return (centres + 0.5 * rng.normal(size=centres.shape) + usual).astype(np.float32)


def naive(vectors: np.ndarray, candidates: int, query: int, count: int) -> list[int]:
    rows = vectors.astype(np.float64) - vectors[:candidates].astype(np.float64).mean(axis=0)
    _, _, directions = np.linalg.svd(rows[:candidates], full_matrices=False)
    rows = rows - rows @ directions[:COMMON].T @ directions[:COMMON]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)

    def close(one: int) -> float:
        others = [rows[one] @ rows[k] for k in range(candidates) if k != one]
        return float(np.mean(sorted(others)[-NEIGHBOURS:]))

    scores = [2 * rows[query] @ rows[k] - close(k) for k in range(candidates)]
    return sorted(range(candidates), key=lambda k: -scores[k])[:count]


def test_they_are_of_the_same_kind(vectors: np.ndarray) -> None:
    candidates, queries = (KINDS - 1) * EACH, [5, 100, 7 * EACH]
    found = nearest(vectors, candidates, queries, 8)
    kinds = [k // EACH == query // EACH for query, ones in zip(queries, found, strict=True) for k in ones]
    assert sum(kinds) >= 0.9 * len(kinds)
    raw = [np.argsort(-(vectors @ vectors[query]))[:8] // EACH == query // EACH for query in queries]
    assert np.mean(raw) < 0.5


def test_it_is_what_the_formula_says(vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinsmith.data.nearest.BLOCK", 50)
    candidates = 200
    for query, found in zip((0, 250), nearest(vectors, candidates, [0, 250], 5), strict=True):
        assert found == naive(vectors, candidates, query, 5)


def test_few_rows_and_rows_of_nothing() -> None:
    rows = np.zeros((3, 16), np.float32)
    rows[1, 3] = 1.0
    assert nearest(rows, 2, [2], 5) == [[0, 1]]
    assert nearest(rows, 2, [], 5) == []
