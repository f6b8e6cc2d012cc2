"""Attention over a packed row on the CPU, by the core's C function (kernels/train/attention.h).

Torch's own operations take ten times as long for sequences of some twenty tokens: they gather, pad and mask
what lies in a row already."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from tinsmith import _core
from tinsmith.spec import Buffer
from tinsmith.train.packing import Packing

# Multiplications that one thread does sooner than it could ask another.
_ALONE = 1 << 20
PASSED_OVER = 0  # of the processor's better instruction sets: for tests


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    packing: Packing,
    scaling: float,
    window: int | None,
    softcap: float | None,
) -> Tensor:
    """query [row, heads, width], key and value [row, kv heads, width], to [row, heads, width]; in float32,
    the result in value's type."""
    floats = (one.float().contiguous() for one in (query, key, value))
    out = _Attend.apply(*floats, packing, scaling, window or 0, softcap or 0.0)  # type: ignore[no-untyped-call]
    return out.to(value.dtype)  # type: ignore[no-any-return]


class _Attend(torch.autograd.Function):
    """The weights are computed again on the way back: that costs less than to keep them."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        packing: Packing,
        scale: float,
        window: int,
        cap: float,
    ) -> Tensor:
        ctx.save_for_backward(query, key, value)
        rows, heads, width = query.shape
        ctx.row = rows, heads, key.shape[1], width, packing.shared, window, PASSED_OVER, scale, cap
        ctx.packing = packing
        out = query.new_empty(query.shape)
        out[rows - packing.filler :] = 0
        given = [_buffer(one) for one in (packing.extents, query, key, value, out)]
        _shared_out(packing, query, lambda first, end: _core.attend(ctx.row, first, end, *given))
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        saved, packing = ctx.saved_tensors, ctx.packing
        query, key, _ = saved
        to = [torch.empty_like(one) for one in saved]
        for one in to:
            one[len(one) - packing.filler :] = 0
        early = key.new_empty(len(packing.extents), 2, packing.shared, *key.shape[1:])
        given = [_buffer(one) for one in (packing.extents, *saved, gradients[0].contiguous(), *to, early)]
        _shared_out(packing, query, lambda first, end: _core.attend_back(ctx.row, first, end, *given))
        if packing.shared:
            left = early[1:].sum(0)
            to[1][: packing.shared] += left[0]
            to[2][: packing.shared] += left[1]
        return *to, None, None, None, None


def _shared_out(packing: Packing, query: Tensor, work: Any) -> None:
    """Calls work(first, end) for all sequences, by as many threads as torch has."""
    count = len(packing.extents)
    threads = torch.get_num_threads() if query.numel() * packing.longest > _ALONE else 1
    cuts = [count * k // threads for k in range(threads + 1)]
    others = [_helpers().submit(work, *cut) for cut in pairwise(cuts[1:])]
    work(*cuts[:2])
    for other in others:
        other.result()


@cache
def _helpers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="attend")


def _buffer(tensor: Tensor) -> Buffer:
    array: Any = tensor.detach().numpy()
    return memoryview(array)
