"""Layers that the core's C functions compute on the CPU (kernels/train): attention over a packed row, RMS
norms, gated activations, short convolutions, gated delta rules, and the output head's softmax.

These pass over memory once where torch's own operations do five times. For attention of short sequences, torch
also gathers, pads and masks rows that are already side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from tinsmith import _core
from tinsmith.train.batches.packing import Packing, Scoring
from tinsmith.train.layers.sharing import buffer, shared_out

# Values that one thread computes faster than several: torch's idle threads spin on the other cores. A value of
# attention costs as much as _ATTENDED of them, one of a softmax as _EXPONENTS.
_ALONE, _ATTENDED, _EXPONENTS = 1 << 22, 32, 4
TAPS = 8  # the longest convolution
PASSED_OVER = 0  # the best instruction sets to skip, for tests


def attend(query: Tensor, key: Tensor, value: Tensor, packing: Packing, scoring: Scoring) -> Tensor:
    """query [row, heads, width], key and value [row, kv heads, width], to [row, heads, width]; in float32, the
    result in value's type."""
    floats = (one.float().contiguous() for one in (query, key, value))
    out = _Attend.apply(*floats, packing, scoring)  # type: ignore[no-untyped-call]
    return out.to(value.dtype)  # type: ignore[no-any-return]


class _Attend(torch.autograd.Function):
    """The backward pass computes the attention weights again, which costs less than keeping them."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, packing: Packing, scoring: Scoring
    ) -> Tensor:
        ctx.save_for_backward(query, key, value)
        rows, heads, width = query.shape
        window, cap = scoring.window or 0, scoring.softcap or 0.0
        ctx.row = rows, heads, key.shape[1], width, packing.shared, window, PASSED_OVER, scoring.scale, cap
        ctx.packing = packing
        out = _unfilled(query, packing)
        tensors = packing.extents, _together(packing), query, key, value, out
        _run(_core.attend, ctx.row, len(packing.all_spans), _ATTENDED * query.numel(), *tensors)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        saved, packing = ctx.saved_tensors, ctx.packing
        query, key, _ = saved
        to = [_unfilled(one, packing) for one in saved]
        early = key.new_empty(len(packing.all_spans), 2, packing.shared, *key.shape[1:])
        tensors = packing.extents, _together(packing), *saved, gradients[0].contiguous(), *to, early
        _run(_core.attend_back, ctx.row, len(packing.all_spans), _ATTENDED * query.numel(), *tensors)
        if packing.shared:
            left = early[1:].sum(0)
            to[1][: packing.shared] += left[0]
            to[2][: packing.shared] += left[1]
        return *to, None, None


def _together(packing: Packing) -> Tensor:
    return torch.empty(0, dtype=torch.int32) if packing.together is None else packing.together


def rms_norm(x: Tensor, weight: Tensor, epsilon: float, dtype: torch.dtype) -> Tensor:
    """x [..., width] float32, times a frozen weight [width] over its root mean square along the last dimension;
    dtype: of the result, float32 or bfloat16."""
    return _by_rows("rms_norm", weight, epsilon, dtype, x)


def gated(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up, [..., width] of the same type, float32 or bfloat16."""
    return _by_rows("gated", None, 0.0, gate.dtype, gate, up)


def gated_norm(x: Tensor, gate: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """rms_norm(x) * silu(gate), x and gate [..., width] of the same type, float32 or bfloat16; weight [width]
    is frozen."""
    return _by_rows("gated_norm", weight, epsilon, x.dtype, x, gate)


def _by_rows(name: str, weight: Tensor | None, epsilon: float, dtype: torch.dtype, *inputs: Tensor) -> Tensor:
    rows = (one.contiguous() for one in inputs)
    return _Rows.apply(name, weight, epsilon, dtype, *rows)  # type: ignore[no-untyped-call, no-any-return]


class _Rows(torch.autograd.Function):
    """A function of each row by its name in the core, with its gradient's name ending in _back; dtype: the
    result's."""

    @staticmethod
    def forward(
        ctx: Any, name: str, weight: Tensor | None, epsilon: float, dtype: torch.dtype, *inputs: Tensor
    ) -> Tensor:
        ctx.save_for_backward(weight, *inputs)
        ctx.name, ctx.epsilon, ctx.dtype = name, epsilon, dtype
        out = inputs[0].new_empty(inputs[0].shape, dtype=dtype)
        _Rows.call(ctx, name, weight, inputs, [out])
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weight, *inputs = ctx.saved_tensors
        to = [torch.empty_like(one) for one in inputs]
        _Rows.call(ctx, f"{ctx.name}_back", weight, inputs, [gradients[0].to(ctx.dtype).contiguous(), *to])
        return None, None, None, None, *to

    @staticmethod
    def call(
        ctx: Any, name: str, weight: Tensor | None, before: Sequence[Tensor], after: Sequence[Tensor]
    ) -> None:
        """before, after: the function's matrices, before the weight and after."""
        function, width = getattr(_core, name), before[0].shape[-1]
        rows = before[0].numel() // width
        matrices = [[one.view(rows, width) for one in part] for part in (before, after)]
        weights = [] if weight is None else [buffer(weight)]

        def work(first: int, end: int) -> None:
            given, results = ([buffer(one[first:end]) for one in part] for part in matrices)
            sizes = (end - first, width, PASSED_OVER, ctx.dtype == torch.bfloat16, ctx.epsilon)
            function(sizes, *given, *weights, *results)

        shared_out(rows, _threads(rows * width), work)


def convolve(row: Tensor, taps: Tensor, bias: Tensor, packing: Packing, silu: bool) -> Tensor:
    """A causal depthwise convolution, or silu of it: row [width, channels], taps [count, channels] and bias
    [channels] float32, to [width, channels], the filler 0."""
    sums = torch.cat([taps, bias[None]])
    return _Convolve.apply(row.contiguous(), sums, packing, silu)  # type: ignore[no-untyped-call, no-any-return]


class _Convolve(torch.autograd.Function):
    """taps: with the bias below them. The backward pass computes the sums again."""

    @staticmethod
    def forward(ctx: Any, row: Tensor, taps: Tensor, packing: Packing, silu: bool) -> Tensor:
        ctx.save_for_backward(row, taps)
        ctx.packing = packing
        narrow = row.dtype == torch.bfloat16
        ctx.sizes = (*row.shape, len(taps) - 1, packing.shared, PASSED_OVER, narrow, silu)
        out = _unfilled(row, packing)
        _run(_core.convolve, ctx.sizes, row.shape[1], row.numel(), packing.extents, row, taps, out)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        row, taps = ctx.saved_tensors
        to_row = _unfilled(row, ctx.packing)
        to_taps = torch.zeros_like(taps) if ctx.needs_input_grad[1] else taps.new_zeros(0)
        tensors = (ctx.packing.extents, row, taps, gradients[0].contiguous(), to_row, to_taps)
        _run(_core.convolve_back, ctx.sizes, row.shape[1], row.numel(), *tensors)
        return to_row, to_taps if ctx.needs_input_grad[1] else None, None, None


def delta_rule(
    mixed: Tensor, rates: Tensor, steps: Tensor, sizes: tuple[int, int], packing: Packing, epsilon: float
) -> Tensor:
    """mixing.delta_rule over a packed row.

    mixed [width, queries, keys and values side by side], float32 or bfloat16; sizes: the number of key heads,
    and a head's width; rates and steps [width, heads], float32. Returns [width, heads, values], like mixed, the
    filler 0.
    """
    rows = (rates.contiguous(), steps.contiguous())
    return _DeltaRule.apply(mixed.contiguous(), *rows, sizes, packing, epsilon)  # type: ignore[no-untyped-call, no-any-return]


class _DeltaRule(torch.autograd.Function):
    """The backward pass computes each sequence again: its states take many times the memory of its row."""

    @staticmethod
    def forward(
        ctx: Any,
        mixed: Tensor,
        rates: Tensor,
        steps: Tensor,
        sizes: tuple[int, int],
        packing: Packing,
        epsilon: float,
    ) -> Tensor:
        ctx.save_for_backward(mixed, rates, steps)
        ctx.packing = packing
        rows, heads = rates.shape
        groups, keys = sizes
        values = (mixed.shape[1] - 2 * groups * keys) // heads
        narrow = mixed.dtype == torch.bfloat16
        ctx.sizes = (rows, heads, groups, keys, values, packing.shared, PASSED_OVER, narrow, epsilon)
        out = _unfilled(mixed.new_empty(rows, heads, values), packing)
        tensors = (packing.extents, mixed, rates, steps, out)
        _run(_core.delta_rule, ctx.sizes, groups, _ATTENDED * mixed.numel(), *tensors)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        mixed, rates, steps = ctx.saved_tensors
        _, heads, groups, *_ = ctx.sizes
        # Where heads share their keys, the keys' gradients are sums.
        to_mixed = mixed if heads == groups else mixed.new_empty(mixed.shape, dtype=torch.float32)
        to = [_unfilled(one, ctx.packing) for one in (to_mixed, rates, steps)]
        tensors = (ctx.packing.extents, mixed, rates, steps, gradients[0].contiguous(), *to)
        _run(_core.delta_rule_back, ctx.sizes, groups, _ATTENDED * mixed.numel(), *tensors)
        return to[0].to(mixed.dtype), *to[1:], None, None, None


def _run(function: Any, sizes: tuple[Any, ...], count: int, values: int, *tensors: Tensor) -> None:
    """Calls function(sizes, first, end, *the tensors' memory) for all of `count`; values: the work, which
    decides the number of threads."""
    memory = [buffer(one) for one in tensors]
    shared_out(count, _threads(values), lambda first, end: function(sizes, first, end, *memory))


def weigh_logits(logits: Tensor, scale: float, begin: int, targets: Tensor, seen: Sequence[Tensor]) -> Tensor:
    """Replaces a tile's products [labels, tokens from `begin` on] by softmax weights before their division by
    the sum: exponentials of scale * products, 0 for the targets [labels].

    seen: per label the greatest logit so far, the sum of the others' weights, the target's logit, float32, and
    the most likely token; all are updated. Returns [labels, 1]: the factor for earlier sums.
    """
    shrink = torch.empty_like(seen[0])

    def work(first: int, end: int) -> None:
        own, wanted = (buffer(one[first:end]) for one in (logits, targets))
        top, others, right, best = (buffer(one[first:end]) for one in seen)
        sizes = (end - first, logits.shape[1], begin, PASSED_OVER, logits.dtype == torch.bfloat16, scale)
        _core.weigh_logits(sizes, own, wanted, top, others, right, buffer(shrink[first:end]), best)

    shared_out(len(logits), _threads(_EXPONENTS * logits.numel()), work)
    return shrink


def _unfilled(like: Tensor, packing: Packing) -> Tensor:
    """A new tensor of rows, with the filler's set to 0."""
    out = torch.empty_like(like)
    out[len(out) - packing.filler :] = 0
    return out


def takes(rows: Tensor) -> bool:
    return rows.device.type == "cpu" and rows.dtype in (torch.float32, torch.bfloat16)


# transformers' layers that are known to compute these, by class; others keep their own code.
_NORMS = (
    "Ernie4_5 FalconH1 Gemma4 Granite GraniteMoeHybrid HunYuanDenseV1 Lfm2 Lfm2Moe Lfm3 Llama Olmo2 Phi3 Qwen2 "
    "Qwen3 Qwen3Moe Qwen3VLText SmolLM3"
)
_NORMS_FROM_ONE = "Gemma2 Gemma3 Qwen3_5 Qwen3_5Moe"
_MLPS = (
    "Ernie4_5 FalconH1 Granite HunYuanDenseV1 Llama Olmo2 Qwen2 Qwen3 Qwen3Moe Qwen3VLText Qwen3_5 Qwen3_5Moe "
    "SmolLM3"
)
_LFM_MLPS = "Lfm2 Lfm2Moe Lfm3"
# Norms: weight, plus this, times the input over its root mean square.
_OFFSETS = {
    f"{name}RMSNorm": offset
    for names, offset in ((_NORMS, 0.0), (_NORMS_FROM_ONE, 1.0))
    for name in names.split()
}
# Feed-forward layers: down(silu(gate(x)) * up(x)), by the names of gate, up and down.
_FEED_FORWARD = {
    f"{name}MLP": parts
    for names, parts in ((_MLPS, ("gate_proj", "up_proj", "down_proj")), (_LFM_MLPS, ("w1", "w3", "w2")))
    for name in names.split()
}


def install(model: nn.Module, dtype: torch.dtype | None) -> None:
    """Routes the norms and feed-forward layers of transformers' model through these functions. Their weights
    are frozen. dtype: of the norms' results; None for their input's."""
    for module in model.modules():
        kind, weight = type(module).__name__, getattr(module, "weight", None)
        if kind in _OFFSETS and isinstance(weight, Tensor):
            epsilon: Any = module.variance_epsilon if hasattr(module, "variance_epsilon") else module.eps
            module.forward = partial(_norm, weight.detach().float() + _OFFSETS[kind], epsilon, dtype)
        elif kind in _FEED_FORWARD and _is_by_silu(module):
            module.forward = partial(_feed_forward, *(getattr(module, name) for name in _FEED_FORWARD[kind]))


def _is_by_silu(layer: nn.Module) -> bool:
    """Whether the layer's config sets silu, and no factors."""
    act = getattr(layer, "act_fn", None)  # a class without it has silu
    factors = (getattr(layer, name, 1) for name in ("gate_multiplier", "down_multiplier"))
    return (act is None or type(act).__name__ in ("SiLU", "SiLUActivation")) and all(x == 1 for x in factors)


def _norm(scale: Tensor, epsilon: float, dtype: torch.dtype | None, x: Tensor) -> Tensor:
    return rms_norm(x.float(), scale, epsilon, dtype or x.dtype)


def _feed_forward(gate: nn.Module, up: nn.Module, down: nn.Module, x: Tensor) -> Tensor:
    out: Tensor = down(gated(gate(x), up(x)))
    return out


def _threads(values: int) -> int:
    return torch.get_num_threads() if values > _ALONE else 1
