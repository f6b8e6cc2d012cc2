"""The loss by tiles of the vocabulary, against cross entropy over the whole matrix of logits."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tinsmith.train.layers import head

VOCABULARY, DIM, LABELS = 97, 24, 13


@pytest.mark.parametrize("tile", [1, 10, 96, 97, 1000])
@pytest.mark.parametrize(("scale", "cap"), [(1.0, None), (0.3, None), (1.0, 4.0), (0.5, 2.0)])
def test_it_is_cross_entropy(
    tile: int, scale: float, cap: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head, "TILE", tile)
    source = torch.Generator().manual_seed(1)
    matrix = torch.randn(VOCABULARY, DIM, generator=source)
    targets = torch.randint(0, VOCABULARY, (LABELS,), generator=source)
    states = torch.randn(LABELS, DIM, generator=source)
    states[:4] = 2 * matrix[targets[:4]]  # as good as certain, and right
    states.requires_grad_()
    pulls = torch.rand(LABELS, generator=source)
    losses, best = head.AnswerLoss.apply(states, matrix, targets, scale, cap, True)
    (gradient,) = torch.autograd.grad((losses * pulls).sum(), states)
    wide = states.detach().double().requires_grad_()
    logits = wide @ matrix.double().T * scale
    if cap is not None:
        logits = cap * torch.tanh(logits / cap)
    wanted = functional.cross_entropy(logits, targets, reduction="none")
    (expected,) = torch.autograd.grad((wanted * pulls).sum(), wide)
    assert torch.equal(best, logits.argmax(-1))
    torch.testing.assert_close(losses.double(), wanted, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(gradient.double(), expected, atol=1e-6, rtol=1e-4)
    with torch.no_grad():
        same, _ = head.AnswerLoss.apply(states, matrix, targets, scale, cap, False)
    assert torch.equal(same, losses)


def test_a_sure_answer_in_bfloat16_has_the_gradient_of_what_is_left() -> None:
    """The share of all other tokens is 1e-3: a rounded share of the target less 1 would be half of that off."""
    matrix = torch.eye(4, dtype=torch.bfloat16)
    states = torch.tensor([[8.0, 0.0, 0.0, 0.0]], requires_grad=True)
    losses, _ = head.AnswerLoss.apply(states, matrix, torch.tensor([0]), 1.0, None, True)
    losses.sum().backward()
    left = functional.softmax(states.detach(), -1)
    left[0, 0] -= 1
    torch.testing.assert_close(states.grad, left, atol=0, rtol=1e-2)
