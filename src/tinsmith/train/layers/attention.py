"""Attention over a packed or padded batch, with the interface of transformers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tinsmith.train.batches.packing import Packing, Scoring, causal_bias
from tinsmith.train.layers import flex, fused

NAME = "tinsmith_packed"


def register() -> None:
    """Makes attn_implementation=NAME known to transformers; a model then takes `packing=` in its forward."""
    from transformers.modeling_utils import AttentionInterface

    AttentionInterface.register(NAME, packed_attention)


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    packing: Packing,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Implements transformers' attention interface: query [rows, heads, row, width], key and value [rows, kv
    heads, row, width] to [rows, row, heads, width]. Ignores transformers' masks and makes its own."""
    before = key.shape[2] - query.shape[2]  # length of a trained prefix
    scoring = Scoring(scaling, sliding_window, softcap)
    if packing.is_padded or before:
        query, key = query.to(value.dtype), key.to(value.dtype)
        bias = packing.bias(before, sliding_window)
        return _attend(query, key, value, bias, scoring).transpose(1, 2), None
    if flex.is_for(query.device):
        query, key = query.to(value.dtype), key.to(value.dtype)
        return flex.attend(query, key, value, packing, scoring).transpose(1, 2), None
    q, k, v = (one[0].transpose(0, 1) for one in (query, key, value))
    attend = fused.attend if query.device.type == "cpu" else attend_by_torch
    return attend(q, k, v, packing, scoring)[None], None


def attend_by_torch(query: Tensor, key: Tensor, value: Tensor, packing: Packing, scoring: Scoring) -> Tensor:
    """fused.attend by torch's operations, on any device: sequences side by side, each after the shared prefix;
    in value's type."""
    query, key = query.to(value.dtype), key.to(value.dtype)
    (_, heads, width), groups = query.shape, key.shape[1]
    q, k, v = (one.flatten(1) for one in (query, key, value))
    count, longest, shared = packing.sequences, packing.longest, packing.shared

    def side_by_side(rows: Tensor, heads: int) -> Tensor:
        return packing.side_by_side(rows).view(count, longest, heads, width).transpose(1, 2)

    def with_prefix(rows: Tensor) -> Tensor:
        prefix = rows[:shared].view(1, shared, groups, width).transpose(1, 2).expand(count, -1, -1, -1)
        return torch.cat([prefix, side_by_side(rows, groups)], dim=2)

    bias = packing.bias(shared, scoring.window)
    own = _attend(side_by_side(q, heads), with_prefix(k), with_prefix(v), bias, scoring)
    rows = packing.in_a_row(own.transpose(1, 2).flatten(2))
    if shared:
        bias = causal_bias(0, shared, scoring.window, query.device)
        early = [one[None, :shared].transpose(1, 2) for one in (query, key, value)]
        first = _attend(early[0], early[1], early[2], bias, scoring)
        rows = torch.cat([first.transpose(1, 2).reshape(shared, -1), rows])
    return rows.view(len(rows), heads, width)


def _attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, scoring: Scoring) -> Tensor:
    """[batch, heads, rows, width] attending to [batch, kv heads, columns, width]; bias [rows, columns], or
    [batch, 1, rows, columns].

    Written out: for short rows this is several times faster on a CPU than torch's fused function.
    """
    count, heads, rows, width = query.shape
    groups = key.shape[1]
    query = query.reshape(count, groups, heads // groups * rows, width)
    scores = (query @ key.transpose(2, 3)).float() * scoring.scale
    if scoring.softcap is not None:
        scores = scoring.softcap * torch.tanh(scores / scoring.softcap)
    scores = scores.view(count, heads, rows, -1) + bias
    weights = scores.softmax(-1).to(value.dtype).view(count, groups, heads // groups * rows, -1)
    return (weights @ value).view(count, heads, rows, width)
