"""Attention over a packed row by torch's flex attention, one fused kernel where torch compiles for the device.

The mask is by blocks: a token sees the shared prefix and its own sequence, and other sequences' blocks are
never computed (Dong et al., "Flex Attention", 2024).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from tinsmith.train.batches.packing import Packing, Scoring


def is_for(device: torch.device) -> bool:
    """Whether torch compiles flex attention here; otherwise it would compute every pair's score."""
    return device.type == "cuda" and find_spec("triton") is not None


def attend(query: Tensor, key: Tensor, value: Tensor, packing: Packing, scoring: Scoring) -> Tensor:
    """query [1, heads, width, dim], key and value [1, kv heads, width, dim] to [1, heads, width, dim]."""
    softcap = scoring.softcap

    def bend(score: Tensor, *_: Any) -> Tensor:
        return score if softcap is None else softcap * torch.tanh(score / softcap)

    run: Any = _compiled() if query.is_cuda else flex_attention
    return run(  # type: ignore[no-any-return]
        query,
        key,
        value,
        score_mod=bend,
        block_mask=_mask(packing, scoring.window),
        scale=scoring.scale,
        enable_gqa=key.shape[1] < query.shape[1],
    )


@lru_cache(maxsize=2)  # every layer of a batch asks for the same mask, or with windows for one of two
def _mask(packing: Packing, window: int | None) -> BlockMask:
    parts, positions, together = packing.parts, packing.positions[0], packing.together

    def seen(batch: Tensor, head: Tensor, own: Tensor, other: Tensor) -> Tensor:
        known = (other <= own) & ((parts[other] == 0) | (parts[other] == parts[own]))
        if window is not None:
            known = known & (positions[own] - positions[other] < window)
        if together is None:
            return known
        return known | ((other >= together[own, 0]) & (other < together[own, 1]))

    width = packing.tokens.shape[1]
    return create_block_mask(seen, None, None, width, width, device=packing.tokens.device)


@cache
def _compiled() -> Callable[..., Any]:
    return torch.compile(flex_attention, dynamic=True)
