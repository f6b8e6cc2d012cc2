"""The nearest words of a vocabulary, by a model's embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

COMMON = 8  # directions that all words share, mostly by frequency
NEIGHBOURS = 20  # of a word, for its mean closeness
GRID = 1000  # steps per unit of length: products of whole steps have exact sums in any order
BLOCK = 1024  # rows compared at a time


def nearest(vectors: Any, candidates: int, queries: Sequence[int], count: int) -> list[list[int]]:
    """The `count` nearest of the first `candidates` rows to each row in `queries`, nearest first. Vectors are
    rounded to whole steps of GRID, so that all machines find the same rows.

    vectors: embeddings, float32 [n, dim]. The mean and the COMMON directions of most variance are removed (Mu
    and Viswanath 2018, "All-but-the-Top"). A row close to all others is penalized (Conneau et al. 2018, "Word
    Translation Without Parallel Data": cross-domain similarity local scaling).
    """
    import numpy as np

    rows = np.asarray(vectors, np.float64)
    rows = rows - rows[:candidates].mean(axis=0)
    _, directions = np.linalg.eigh(rows[:candidates].T @ rows[:candidates])
    common = directions[:, -COMMON:]
    rows = rows - rows @ common @ common.T
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    grid = np.rint(GRID * rows / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)
    among = grid[:candidates]
    neighbours = min(NEIGHBOURS, candidates - 1)
    closeness = np.empty(candidates, np.int64)
    for start in range(0, candidates, BLOCK):
        likeness = among[start : start + BLOCK] @ among.T
        likeness[np.arange(len(likeness)), np.arange(start, start + len(likeness))] = -np.inf  # not to itself
        top = np.partition(likeness, -neighbours, axis=1)[:, -neighbours:]
        closeness[start : start + BLOCK] = top.astype(np.int64).sum(axis=1)
    found = []
    for query in queries:
        scores = 2 * neighbours * (among @ grid[query]).astype(np.int64) - closeness
        found.append(np.argsort(-scores, kind="stable")[:count].tolist())
    return found
