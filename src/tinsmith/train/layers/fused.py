"""What the core's C functions compute of a network on the CPU (kernels/train): attention over a packed row, RMS
norms, gated activations, short convolutions and gated delta rules; and the softmax of the output head.

Between products of matrices torch's own operations pass over memory five times where one time does, and for
attention of short sequences they gather, pad and mask what lies in a row already."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from tinsmith import _core
from tinsmith.train.batches.packing import Packing
from tinsmith.train.layers.sharing import buffer, shared_out

# Values along rows that one thread computes sooner than several: torch's other threads, which wait for work by
# spinning, have the other cores. A value of attention takes as long as _ATTENDED of them, one of a softmax as
# _EXPONENTS.
_ALONE, _ATTENDED, _EXPONENTS = 1 << 22, 32, 4
TAPS = 8  # of a convolution, at most
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
        given = [buffer(one) for one in (packing.extents, _together(packing), query, key, value, out)]
        shared_out(
            len(packing.all_spans),
            _threads(_ATTENDED * query.numel()),
            lambda first, end: _core.attend(ctx.row, first, end, *given),
        )
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        saved, packing = ctx.saved_tensors, ctx.packing
        query, key, _ = saved
        to = [torch.empty_like(one) for one in saved]
        for one in to:
            one[len(one) - packing.filler :] = 0
        early = key.new_empty(len(packing.all_spans), 2, packing.shared, *key.shape[1:])
        inputs = packing.extents, _together(packing), *saved, gradients[0].contiguous()
        given = [buffer(one) for one in (*inputs, *to, early)]
        shared_out(
            len(packing.all_spans),
            _threads(_ATTENDED * query.numel()),
            lambda first, end: _core.attend_back(ctx.row, first, end, *given),
        )
        if packing.shared:
            left = early[1:].sum(0)
            to[1][: packing.shared] += left[0]
            to[2][: packing.shared] += left[1]
        return *to, None, None, None, None


def _together(packing: Packing) -> Tensor:
    return torch.empty(0, dtype=torch.int32) if packing.together is None else packing.together


def rms_norm(x: Tensor, weight: Tensor, epsilon: float, dtype: torch.dtype) -> Tensor:
    """x [..., width] float32, times a frozen weight [width] over its root mean square along the last dimension;
    dtype: of the result, float32 or bfloat16."""
    return _RmsNorm.apply(x.contiguous(), weight, epsilon, dtype)  # type: ignore[no-untyped-call, no-any-return]


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float, dtype: torch.dtype) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.epsilon, ctx.dtype = epsilon, dtype
        out = x.new_empty(x.shape, dtype=dtype)
        _by_rows(_core.rms_norm, dtype, epsilon, [x], weight, [out])
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        to = torch.empty_like(x)
        given = [gradients[0].to(ctx.dtype).contiguous(), to]
        _by_rows(_core.rms_norm_back, ctx.dtype, ctx.epsilon, [x], weight, given)
        return to, None, None, None


def gated(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up, [..., width] of the same type, float32 or bfloat16."""
    return _Gated.apply(gate.contiguous(), up.contiguous())  # type: ignore[no-untyped-call, no-any-return]


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        out = torch.empty_like(gate)
        _by_rows(_core.gated, gate.dtype, 0.0, [gate, up], None, [out])
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        gate, up = ctx.saved_tensors
        to = [torch.empty_like(gate), torch.empty_like(up)]
        _by_rows(_core.gated_back, gate.dtype, 0.0, [gate, up, gradients[0].contiguous()], None, to)
        return tuple(to)


def gated_norm(x: Tensor, gate: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """rms_norm(x) * silu(gate), x and gate [..., width] of the same type, float32 or bfloat16; weight [width]
    is frozen."""
    return _GatedNorm.apply(x.contiguous(), gate.contiguous(), weight, epsilon)  # type: ignore[no-untyped-call, no-any-return]


class _GatedNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gate: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        ctx.save_for_backward(x, gate, weight)
        ctx.epsilon = epsilon
        out = torch.empty_like(x)
        _by_rows(_core.gated_norm, x.dtype, epsilon, [x, gate], weight, [out])
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, gate, weight = ctx.saved_tensors
        to = [torch.empty_like(x), torch.empty_like(gate)]
        given = [gradients[0].contiguous(), *to]
        _by_rows(_core.gated_norm_back, x.dtype, ctx.epsilon, [x, gate], weight, given)
        return *to, None, None


def convolve(row: Tensor, taps: Tensor, bias: Tensor, packing: Packing, silu: bool) -> Tensor:
    """A causal depthwise convolution, or silu of it: row [width, channels], taps [count, channels] and bias
    [channels] float32, to [width, channels], the filler 0."""
    sums = torch.cat([taps, bias[None]])
    return _Convolve.apply(row.contiguous(), sums, packing, silu)  # type: ignore[no-untyped-call, no-any-return]


class _Convolve(torch.autograd.Function):
    """taps: and the bias below them. The sums are computed again on the way back."""

    @staticmethod
    def forward(ctx: Any, row: Tensor, taps: Tensor, packing: Packing, silu: bool) -> Tensor:
        ctx.save_for_backward(row, taps)
        ctx.packing = packing
        narrow = row.dtype == torch.bfloat16
        ctx.sizes = (*row.shape, len(taps) - 1, packing.shared, PASSED_OVER, narrow, silu)
        out = _unfilled(row, packing)
        given = [buffer(one) for one in (packing.extents, row, taps, out)]
        shared_out(
            row.shape[1],
            _threads(row.numel()),
            lambda first, end: _core.convolve(ctx.sizes, first, end, *given),
        )
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        row, taps = ctx.saved_tensors
        to_row = _unfilled(row, ctx.packing)
        to_taps = torch.zeros_like(taps) if ctx.needs_input_grad[1] else taps.new_zeros(0)
        tensors = (ctx.packing.extents, row, taps, gradients[0].contiguous(), to_row, to_taps)
        given = [buffer(one) for one in tensors]
        shared_out(
            row.shape[1],
            _threads(row.numel()),
            lambda first, end: _core.convolve_back(ctx.sizes, first, end, *given),
        )
        return to_row, to_taps if ctx.needs_input_grad[1] else None, None, None


def delta_rule(
    mixed: Tensor, rates: Tensor, steps: Tensor, sizes: tuple[int, int], packing: Packing, epsilon: float
) -> Tensor:
    """mixing.delta_rule over a packed row: mixed [width, queries, keys and values side by side], float32 or
    bfloat16; sizes: the number of heads of keys, and the keys of one; rates and steps [width, heads], float32.
    To [width, heads, values], like mixed, the filler 0."""
    rows = (rates.contiguous(), steps.contiguous())
    return _DeltaRule.apply(mixed.contiguous(), *rows, sizes, packing, epsilon)  # type: ignore[no-untyped-call, no-any-return]


class _DeltaRule(torch.autograd.Function):
    """Each sequence is computed again on the way back: what it leaves along the way is many times its row."""

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
        given = [buffer(one) for one in (packing.extents, mixed, rates, steps, out)]
        shared_out(
            groups,
            _threads(_ATTENDED * mixed.numel()),
            lambda first, end: _core.delta_rule(ctx.sizes, first, end, *given),
        )
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        mixed, rates, steps = ctx.saved_tensors
        _, heads, groups, *_ = ctx.sizes
        # Where heads share their keys, the keys' gradients are sums.
        to_mixed = mixed if heads == groups else mixed.new_empty(mixed.shape, dtype=torch.float32)
        to = [_unfilled(one, ctx.packing) for one in (to_mixed, rates, steps)]
        tensors = (ctx.packing.extents, mixed, rates, steps, gradients[0].contiguous(), *to)
        given = [buffer(one) for one in tensors]
        shared_out(
            groups,
            _threads(_ATTENDED * mixed.numel()),
            lambda first, end: _core.delta_rule_back(ctx.sizes, first, end, *given),
        )
        return to[0].to(mixed.dtype), *to[1:], None, None, None


def weigh_logits(logits: Tensor, scale: float, begin: int, targets: Tensor, seen: Sequence[Tensor]) -> Tensor:
    """Puts weights in the place of a tile's products [labels, tokens from `begin` on], of which logits are the
    scale-fold: softmax before it is divided by its sum, 0 for the targets [labels]. seen: of each label the
    greatest logit so far, the sum of the others' weights, the target's logit, float32, and the likeliest token,
    which are brought up to date. To [labels, 1]: by what the tile shrinks earlier sums."""
    shrink = torch.empty_like(seen[0])

    def work(first: int, end: int) -> None:
        own, wanted = (buffer(one[first:end]) for one in (logits, targets))
        top, others, right, best = (buffer(one[first:end]) for one in seen)
        sizes = (end - first, logits.shape[1], begin, PASSED_OVER, logits.dtype == torch.bfloat16, scale)
        _core.weigh_logits(sizes, own, wanted, top, others, right, buffer(shrink[first:end]), best)

    shared_out(len(logits), _threads(_EXPONENTS * logits.numel()), work)
    return shrink


def _unfilled(like: Tensor, packing: Packing) -> Tensor:
    """A new tensor of rows, those of the filler 0."""
    made = torch.empty_like(like)
    made[len(made) - packing.filler :] = 0
    return made


def takes(rows: Tensor) -> bool:
    return rows.device.type == "cpu" and rows.dtype in (torch.float32, torch.bfloat16)


def _by_class(suffix: str, names: str, value: Any) -> dict[str, Any]:
    return {name + suffix: value for name in names.split()}


# What transformers' layers are known to compute, by class; a layer of another class stays as it is.
# Norms: weight, plus this, times the input over its root mean square.
_NORMS: dict[str, float] = {
    **_by_class(
        "RMSNorm",
        "Ernie4_5 FalconH1 Gemma4 Granite GraniteMoeHybrid HunYuanDenseV1 Lfm2 Lfm2Moe Lfm3 Llama Olmo2 Phi3 "
        "Qwen2 Qwen3 Qwen3Moe Qwen3VLText SmolLM3",
        0.0,
    ),
    **_by_class("RMSNorm", "Gemma2 Gemma3 Qwen3_5 Qwen3_5Moe", 1.0),
}
# Feed-forward layers: down(silu(gate(x)) * up(x)), by the names of gate, up and down.
_FEED_FORWARD: dict[str, tuple[str, str, str]] = {
    **_by_class(
        "MLP",
        "Ernie4_5 FalconH1 Granite HunYuanDenseV1 Llama Olmo2 Qwen2 Qwen3 Qwen3Moe Qwen3VLText Qwen3_5 "
        "Qwen3_5Moe SmolLM3",
        ("gate_proj", "up_proj", "down_proj"),
    ),
    **_by_class("MLP", "Lfm2 Lfm2Moe Lfm3", ("w1", "w3", "w2")),
}


def install(model: nn.Module, dtype: torch.dtype | None) -> None:
    """Lets the norms and feed-forward layers of transformers' model that compute what is here compute here.
    Their weights are frozen. dtype: of what norms give; None for their input's."""
    for module in model.modules():
        kind, weight = type(module).__name__, getattr(module, "weight", None)
        if kind in _NORMS and isinstance(weight, Tensor):
            epsilon: Any = module.variance_epsilon if hasattr(module, "variance_epsilon") else module.eps
            module.forward = partial(_norm, weight.detach().float() + _NORMS[kind], epsilon, dtype)
        elif kind in _FEED_FORWARD and _is_by_silu(module):
            module.forward = partial(_feed_forward, *(getattr(module, name) for name in _FEED_FORWARD[kind]))


def _is_by_silu(layer: nn.Module) -> bool:
    """Whether a config that could ask for another activation, or for factors, does not."""
    act = getattr(layer, "act_fn", None)  # a class without it has silu
    factors = (getattr(layer, name, 1) for name in ("gate_multiplier", "down_multiplier"))
    return (act is None or type(act).__name__ in ("SiLU", "SiLUActivation")) and all(x == 1 for x in factors)


def _norm(scale: Tensor, epsilon: float, dtype: torch.dtype | None, x: Tensor) -> Tensor:
    return rms_norm(x.float(), scale, epsilon, dtype or x.dtype)


def _feed_forward(gate: nn.Module, up: nn.Module, down: nn.Module, x: Tensor) -> Tensor:
    out: Tensor = down(gated(gate(x), up(x)))
    return out


def _by_rows(
    function: Any,
    dtype: torch.dtype,
    epsilon: float,
    before: list[Tensor],
    weight: Tensor | None,
    after: list[Tensor],
) -> None:
    """Calls a function of rows; before, after: its matrices, before the weight and after."""
    width = before[0].shape[-1]
    rows = before[0].numel() // width
    matrices = [[one.view(rows, width) for one in part] for part in (before, after)]
    weights = [] if weight is None else [buffer(weight)]

    def work(first: int, end: int) -> None:
        own = [[buffer(one[first:end]) for one in part] for part in matrices]
        sizes = (end - first, width, PASSED_OVER, dtype == torch.bfloat16, epsilon)
        function(sizes, *own[0], *weights, *own[1])

    shared_out(rows, _threads(rows * width), work)


def _threads(values: int) -> int:
    return torch.get_num_threads() if values > _ALONE else 1
