"""The loss of answers from the states before the output head, without a matrix of all logits.

The vocabulary is processed in tiles. The sum of exponentials is relative to the greatest logit so far, and
rescaled when a greater one comes (Milakov and Gimelshein, arXiv 1805.02867). The states' gradient is summed in
the same pass, so the head is read once, and each logit computed once.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tinsmith.train.layers import fused
from tinsmith.train.layers.blocks import Blocks

TILE = 4096  # rows of the head: with a batch's labels their logits stay in most processors' caches


class AnswerLoss(torch.autograd.Function):
    """Cross entropy of each labelled row, and its most likely token.

    states [labels, dim], head [vocabulary, dim] (frozen, maybe in blocks), targets [labels] to losses [labels]
    float32 and tokens [labels]. Logits are scale * states head^T, with a cap cap * tanh(that / cap). learn:
    whether a gradient is needed.
    """

    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        head: Tensor | Blocks,
        targets: Tensor,
        scale: float,
        cap: float | None,
        learn: bool,
    ) -> tuple[Tensor, Tensor]:
        rows, count = states.to(head.dtype), len(states)
        height = len(head) if isinstance(head, Tensor) else head.rows
        top = states.new_full((count, 1), -torch.inf, dtype=torch.float32)
        best, right, slope = torch.zeros_like(targets), torch.zeros_like(top), torch.ones_like(top)
        # Over all tokens but the target, whose share may be so near to 1 that a difference would lose it.
        others, pull = torch.zeros_like(top), top.new_zeros(states.shape if learn else (0, 1))
        own_rows = torch.zeros_like(pull)
        in_c = cap is None and fused.takes(rows)
        for begin in range(0, height, TILE):
            size = min(TILE, height - begin)
            part = head[begin : begin + size] if isinstance(head, Tensor) else head.scratch(begin, size)
            inside = ((targets >= begin) & (targets < begin + size))[:, None]
            own = (targets[:, None] - begin).clamp(0, size - 1)
            products, steep = rows @ part.T, None
            if in_c:
                shrink = fused.weigh_logits(products, scale, begin, targets, (top, others, right, best))
                weights = products
            else:
                logits = products.float().mul_(scale)
                if cap is not None:
                    bent = logits.div_(cap).tanh_()
                    logits, steep = bent * cap, 1 - bent.square()
                peak, place = logits.max(-1, keepdim=True)
                best = torch.where(peak > top, place + begin, best[:, None])[:, 0]
                right = torch.where(inside, logits.gather(1, own), right)
                raised = torch.maximum(top, peak)
                weights = logits.sub_(raised).exp_()
                weights.scatter_(1, own, torch.where(inside, 0.0, weights.gather(1, own)))
                shrink, top = (top - raised).exp(), raised
                others = others * shrink + weights.sum(-1, keepdim=True)
            if learn:
                own_rows = torch.where(inside, part[own[:, 0]].float(), own_rows)
                if steep is not None:
                    slope = torch.where(inside, steep.gather(1, own), slope)
                    weights.mul_(steep)
                pull.mul_(shrink).add_(weights.to(head.dtype) @ part)
        total = others + (right - top).exp()
        losses = (total.log() + top - right)[:, 0]
        if learn:
            pull = (pull - own_rows * (others * slope)).mul_(scale / total)
        ctx.save_for_backward(pull)
        ctx.mark_non_differentiable(best)
        ctx.dtype = states.dtype
        return losses, best

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (pull,) = ctx.saved_tensors
        return (pull * gradients[0][:, None]).to(ctx.dtype), None, None, None, None, None
