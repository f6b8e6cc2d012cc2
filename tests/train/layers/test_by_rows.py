"""Values of a few rows of logits at a time, against those of all at once."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tinsmith.train.layers import by_rows

VOCABULARY, DIM, ROWS = 31, 12, 13


@pytest.mark.parametrize("at_once", [1, 4, 13, 64])
def test_values_and_gradients(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_rows, "ROWS", at_once)
    source = torch.Generator().manual_seed(1)
    matrix = torch.randn(VOCABULARY, DIM, generator=source)
    targets = torch.randint(0, VOCABULARY, (ROWS, 1), generator=source)
    states = torch.randn(ROWS, DIM, generator=source, requires_grad=True)
    pulls = torch.rand(ROWS, generator=source)
    most = []

    def of(rows: Tensor, part: slice) -> tuple[Tensor, Tensor]:
        most.append(len(rows))
        logs = (rows @ matrix.T).log_softmax(-1)
        return logs.gather(1, targets[part])[:, 0], logs.argmax(-1)

    wanted, likeliest = of(states, slice(None))
    (expected,) = torch.autograd.grad((wanted * pulls).sum(), states)
    most.clear()
    values, best = by_rows.by_rows(states, of)
    (gradient,) = torch.autograd.grad((values * pulls).sum(), states)
    assert max(most) == min(at_once, ROWS)
    assert torch.equal(best, likeliest)
    assert not best.requires_grad
    torch.testing.assert_close(values, wanted)
    torch.testing.assert_close(gradient, expected)
    with torch.no_grad():
        assert torch.equal(by_rows.by_rows(states, of)[0], values)
