"""Layers that the core's C functions compute on the CPU (kernels/train): attention over a packed row, RMS
norms, gated activations, short convolutions, gated delta rules, and the output head's softmax.

These pass over memory once where torch's own operations do five times. For attention of short sequences, torch
also gathers, pads and masks rows that are already side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

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


class _Call(NamedTuple):
    """A call of the core's function over a packed row. numbers: its first argument; parts: independent ones,
    which threads share; values: the work; before: tensors before the inputs."""

    name: str
    numbers: tuple[Any, ...]
    parts: int
    values: int
    packing: Packing
    before: tuple[Tensor, ...] = ()

    def run(self, suffix: str, *tensors: Tensor) -> None:
        function = getattr(_core, self.name + suffix)
        memory = [buffer(one) for one in (self.packing.extents, *self.before, *tensors)]
        threads = _threads(self.values)
        shared_out(self.parts, threads, lambda first, end: function(self.numbers, first, end, *memory))


class _OverRow(torch.autograd.Function):
    """A call of a function over a packed row, with its gradient's name ending in _back: it computes again what
    would take many times the memory of the inputs. like: the result's shape and type; back: takes the call, the
    result's gradient and the inputs, and returns the inputs' gradients."""

    @staticmethod
    def forward(ctx: Any, call: _Call, like: Tensor, back: _Back, *inputs: Tensor) -> Tensor:
        ctx.save_for_backward(*inputs)
        ctx.call, ctx.back = call, back
        out = _unfilled(like, call.packing)
        call.run("", *inputs, out)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, None, *ctx.back(ctx.call, gradients[0].contiguous(), *ctx.saved_tensors)


_Back = Callable[..., Sequence[Tensor | None]]


def _over_row(call: _Call, like: Tensor, back: _Back, *inputs: Tensor) -> Tensor:
    return _OverRow.apply(call, like, back, *inputs)  # type: ignore[no-untyped-call, no-any-return]


def attend(query: Tensor, key: Tensor, value: Tensor, packing: Packing, scoring: Scoring) -> Tensor:
    """query [row, heads, width], key and value [row, kv heads, width], to [row, heads, width]; in float32, the
    result in value's type."""
    floats = [one.float().contiguous() for one in (query, key, value)]
    rows, heads, width = query.shape
    window, cap = scoring.window or 0, scoring.softcap or 0.0
    numbers = rows, heads, key.shape[1], width, packing.shared, window, PASSED_OVER, scoring.scale, cap
    together = torch.empty(0, dtype=torch.int32) if packing.together is None else packing.together
    work = _ATTENDED * query.numel()
    call = _Call("attend", numbers, len(packing.all_spans), work, packing, (together,))
    return _over_row(call, floats[0], _attend_back, *floats).to(value.dtype)


def _attend_back(call: _Call, gradient: Tensor, *inputs: Tensor) -> list[Tensor]:
    key, packing = inputs[1], call.packing
    to = [_unfilled(one, packing) for one in inputs]
    early = key.new_empty(call.parts, 2, packing.shared, *key.shape[1:])
    call.run("_back", *inputs, gradient, *to, early)
    if packing.shared:
        left = early[1:].sum(0)
        to[1][: packing.shared] += left[0]
        to[2][: packing.shared] += left[1]
    return to


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
    row, sums = row.contiguous(), torch.cat([taps, bias[None]])
    numbers = (*row.shape, len(taps), packing.shared, PASSED_OVER, row.dtype == torch.bfloat16, silu)
    call = _Call("convolve", numbers, row.shape[1], row.numel(), packing)
    return _over_row(call, row, _convolve_back, row, sums)


def _convolve_back(call: _Call, gradient: Tensor, row: Tensor, sums: Tensor) -> tuple[Tensor, Tensor | None]:
    """sums: taps with the bias below them."""
    to_row = _unfilled(row, call.packing)
    to_sums = torch.zeros_like(sums) if sums.requires_grad else sums.new_zeros(0)
    call.run("_back", row, sums, gradient, to_row, to_sums)
    return to_row, to_sums if sums.requires_grad else None


def delta_rule(
    mixed: Tensor, rates: Tensor, steps: Tensor, sizes: tuple[int, int], packing: Packing, epsilon: float
) -> Tensor:
    """mixing.delta_rule over a packed row.

    mixed [width, queries, keys and values side by side], float32 or bfloat16; sizes: the number of key heads,
    and a head's width; rates and steps [width, heads], float32. Returns [width, heads, values], like mixed, the
    filler 0.
    """
    (rows, heads), (groups, keys) = rates.shape, sizes
    values, narrow = (mixed.shape[1] - 2 * groups * keys) // heads, mixed.dtype == torch.bfloat16
    numbers = (rows, heads, groups, keys, values, packing.shared, PASSED_OVER, narrow, epsilon)
    call = _Call("delta_rule", numbers, groups, _ATTENDED * mixed.numel(), packing)
    inputs = (one.contiguous() for one in (mixed, rates, steps))
    return _over_row(call, mixed.new_empty(rows, heads, values), _delta_rule_back, *inputs)


def _delta_rule_back(call: _Call, gradient: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    mixed, (_, heads, groups, *_) = inputs[0], call.numbers
    # Where heads share their keys, the keys' gradients are sums.
    to_mixed = mixed if heads == groups else mixed.new_empty(mixed.shape, dtype=torch.float32)
    to = [_unfilled(one, call.packing) for one in (to_mixed, *inputs[1:])]
    call.run("_back", *inputs, gradient, *to)
    return to[0].to(mixed.dtype), *to[1:]


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
