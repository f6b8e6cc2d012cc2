"""Functions of each position's logits, computed a few rows at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

ROWS = 64  # logits in memory at a time: with 50,000 floats a row they stay in most processors' caches

# Maps rows of states, and their indices among all rows, to each row's learned value and to further values
# without gradient; [rows] each.
OfRows = Callable[[Tensor, slice], tuple[Tensor, ...]]


class _ByRows(torch.autograd.Function):
    """Computes the gradient in the forward pass: a row's value depends on its states alone, so each row's
    gradient is that of the sum."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, of: OfRows) -> tuple[Tensor, ...]:
        values: list[tuple[Tensor, ...]] = []
        gradients: list[Tensor] = []
        for begin in range(0, len(states), ROWS):
            part = slice(begin, begin + ROWS)
            rows = states[part].detach().requires_grad_(ctx.needs_input_grad[0])
            with torch.set_grad_enabled(ctx.needs_input_grad[0]):
                found = of(rows, part)
                if ctx.needs_input_grad[0]:
                    gradients += torch.autograd.grad(found[0].sum(), rows)
            values.append(tuple(one.detach() for one in found))
        ctx.save_for_backward(*([torch.cat(gradients)] if gradients else []))
        learned, *others = (torch.cat(column) for column in zip(*values, strict=True))
        ctx.mark_non_differentiable(*others)
        return learned, *others

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (own,) = ctx.saved_tensors
        return (own * gradients[0][:, None]).to(own.dtype), None


def by_rows(states: Tensor, of: OfRows) -> tuple[Tensor, ...]:
    """`of` all rows of states [rows, dim], with its first value's gradient; [rows] each."""
    values: tuple[Tensor, ...] = _ByRows.apply(states, of)  # type: ignore[no-untyped-call]
    return values
