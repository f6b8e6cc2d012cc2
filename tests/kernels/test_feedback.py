"""Blocks with error feedback: GPTQ as NumPy computes it, with the scales that the blocks got."""

from __future__ import annotations

import numpy as np
import pytest

from tinsmith import _core
from tinsmith.formats.weights import WEIGHT_FORMATS

ROWS, INPUTS = 19, 512
BLOCKS = [name for name, kind in WEIGHT_FORMATS.items() if kind.block > 1]


@pytest.fixture(scope="module")
def case() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights [ROWS, INPUTS]; the mean of x x^T of inputs that hang together; its factor."""
    source = np.random.default_rng(5)
    mixing = source.standard_normal((INPUTS, INPUTS)) * np.exp(source.normal(0, 1, INPUTS))
    x = source.standard_normal((2000, INPUTS)) @ mixing / 20
    gram = x.T @ x / len(x)
    gram += 0.01 * gram.diagonal().mean() * np.eye(INPUTS)
    factor = np.linalg.cholesky(np.linalg.inv(gram)).T
    weights = source.standard_normal((ROWS, INPUTS)).astype(np.float32) * np.float32(0.05)
    return weights, gram, np.ascontiguousarray(factor, np.float32)


def values(name: str, blocks: bytes, rows: int = ROWS, inputs: int = INPUTS) -> np.ndarray:
    floats = np.frombuffer(_core.dequantize(name, blocks, rows, inputs), np.float32)
    return floats.reshape(rows, inputs).astype(np.float64)


@pytest.mark.parametrize("name", BLOCKS)
def test_the_outputs_are_nearer(name: str, case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    weights, gram, factor = case
    importance = gram.diagonal().astype(np.float32).tobytes()
    plain = _core.quantize(name, weights.tobytes(), ROWS, INPUTS, importance=importance)
    fed = _core.quantize_feedback(name, weights.tobytes(), ROWS, INPUTS, factor.tobytes())
    errors = [values(name, blocks) - weights for blocks in (plain, fed)]
    before, after = (float(((error @ gram) * error).sum()) for error in errors)
    assert after < 0.8 * before


@pytest.mark.parametrize("name", BLOCKS)
def test_every_number_is_the_nearest_to_what_is_left(
    name: str, case: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    """Walking the inputs in order, what earlier ones lost taken off, no other level of the block is nearer."""
    weights, _, factor = case
    blocks = _core.quantize_feedback(name, weights.tobytes(), ROWS, INPUTS, factor.tobytes())
    given, left, wide = values(name, blocks), weights.astype(np.float64), factor.astype(np.float64)
    # A scale is at most this: no error inside the block's range is above half of it.
    steps = [np.diff(np.unique(given[row, at : at + 16])) for row in range(ROWS) for at in range(0, INPUTS, 16)]
    widest = max(float(step.max()) for step in steps if len(step))
    errors = np.zeros_like(left)
    for i in range(INPUTS):
        errors[:, i] = left[:, i] - given[:, i]
        left[:, i + 1 :] -= np.outer(errors[:, i] / wide[i, i], wide[i, i + 1 :])
    assert np.quantile(np.abs(errors), 0.9) <= 0.51 * widest


def test_what_lies_on_the_grid_stays_there(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    weights, _, factor = case
    held = values("Q8_0", _core.quantize("Q8_0", weights.tobytes(), ROWS, INPUTS)).astype(np.float32)
    blocks = _core.quantize_feedback("Q8_0", held.tobytes(), ROWS, INPUTS, factor.tobytes())
    assert np.array_equal(values("Q8_0", blocks), held.astype(np.float64))


def test_rows_do_not_touch_each_other(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    weights, _, factor = case
    whole = _core.quantize_feedback("Q4_1", weights.tobytes(), ROWS, INPUTS, factor.tobytes())
    parts = b"".join(
        _core.quantize_feedback("Q4_1", part.tobytes(), len(part), INPUTS, factor.tobytes())
        for part in (weights[:3], weights[3:])
    )
    assert parts == whole


def test_a_factor_that_is_none_is_refused(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    weights, _, factor = case
    for wrong in (np.zeros_like(factor), np.full_like(factor, np.nan)):
        with pytest.raises(ValueError, match="diagonal is not above 0"):
            _core.quantize_feedback("Q4_0", weights.tobytes(), ROWS, INPUTS, wrong.tobytes())
    with pytest.raises(ValueError, match="items of 4 are needed"):
        _core.quantize_feedback("Q4_0", weights.tobytes(), ROWS, INPUTS, bytes(12))
