"""Layers with a recurrent state, over a packed row: short convolutions, gated delta rules and selective state
updates.

Their projections run on the row as it is. Between tokens the sequences lie side by side, as in attention: the
shared prefix runs once, and each sequence continues from its state, so sequences do not see each other. Matrix
products have the projections' type; sums over time and a delta rule's triangular system are float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tinsmith.train.batches.packing import Packing
from tinsmith.train.layers import fused

# Tokens of a delta rule's chunk: a longer one has a larger triangle, and fewer states.
_CHUNK = 64
_L2_EPS = 1e-6


def install(model: nn.Module) -> bool:
    """Makes the layers of transformers' model take a packed row, before peft wraps it. Returns whether all
    support it. Padded batches go through transformers' own code."""
    kinds = getattr(model.config, "layer_types", None) or ()
    carrying = [kind for kind in kinds if kind not in ("full_attention", "sliding_attention")]
    known = 0
    for module in model.modules():
        mix = _MIXERS.get(type(module).__name__)
        if mix is not None:
            module.forward = partial(_forward, mix, module, module.forward)
            known += 1
    return known == len(carrying)


def _forward(
    mix: Callable[[Any, Tensor, Packing], Tensor],
    module: Any,
    padded: Callable[..., Tensor],
    hidden_states: Tensor,
    packing: Packing,
    **options: Any,
) -> Tensor:
    """Replaces a layer's own forward: hidden_states [rows, width, dim], to the same."""
    if packing.is_padded:
        return padded(hidden_states, **options)
    return mix(module, hidden_states[0], packing)[None]


def gated_delta(layer: Any, x: Tensor, packing: Packing) -> Tensor:
    """Qwen3.5's linear attention, [width, dim] to the same."""
    rates = -layer.A_log.float().exp() * functional.softplus(layer.in_proj_a(x).float() + layer.dt_bias)
    steps = layer.in_proj_b(x).float().sigmoid()
    mixed = _convolved(layer.in_proj_qkv(x), layer.conv1d.weight[:, 0], packing, silu=True)
    sizes, norm = (layer.num_k_heads, layer.head_k_dim), layer.norm
    rule = fused.delta_rule if fused.takes(mixed) else delta_rule_by_torch
    out = rule(mixed, rates, steps, sizes, packing, _L2_EPS)
    gate = layer.in_proj_z(x).view(out.shape)
    in_c = fused.takes(out) and gate.dtype == out.dtype and not norm.weight.requires_grad
    normed = fused.gated_norm if in_c else gated_norm
    out = normed(out, gate, norm.weight, norm.variance_epsilon)
    return layer.out_proj(out.flatten(1))  # type: ignore[no-any-return]


def gated_norm(x: Tensor, gate: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """fused.gated_norm by torch's operations, of any weight."""
    scale = _inverse(x, epsilon, 1 / x.shape[-1])[..., None].to(x.dtype)
    return x * scale * (functional.silu(gate) * weight.to(x.dtype))


def delta_rule_by_torch(
    mixed: Tensor, rates: Tensor, steps: Tensor, sizes: tuple[int, int], packing: Packing, epsilon: float
) -> Tensor:
    """fused.delta_rule by torch's operations, on any device."""
    groups, keys = sizes
    heads, state, parts = rates.shape[1], None, []
    for continues, mix, rate, step in _pieces(packing, mixed, rates, steps):
        query, key, value = mix.split([groups * keys, groups * keys, mix.shape[-1] - 2 * groups * keys], -1)
        query, key = (_by_head(rows, groups).repeat_interleave(heads // groups, 0) for rows in (query, key))
        given = (query, key, _by_head(value, heads), rate.permute(2, 0, 1), step.permute(2, 0, 1))
        out, state = delta_rule(*given, state, continues, epsilon)
        out = out.permute(1, 2, 0, 3)
        parts.append(out[0] if continues else packing.in_a_row(out))
    return torch.cat(parts)


def _by_head(rows: Tensor, heads: int) -> Tensor:
    """[sequences, length, channels] to [heads, sequences, length, channels of a head]."""
    return rows.view(*rows.shape[:-1], heads, -1).permute(2, 0, 1, 3)


def _pieces(packing: Packing, *rows: Tensor) -> Iterator[tuple[Any, ...]]:
    """A packed row's tensors by piece, [sequences, length, ...]: the shared prefix, if any, as one sequence,
    then the sequences side by side. The first value says whether other sequences continue from the piece."""
    if packing.shared:
        yield True, *(one[None, : packing.shared] for one in rows)
    yield False, *(packing.side_by_side(one) for one in rows)


def selective_state(layer: Any, x: Tensor, packing: Packing) -> Tensor:
    """Mamba-2, [width, dim] to the same."""
    inner, groups = layer.intermediate_size, layer.n_groups
    states, each = groups * layer.ssm_state_size, layer.num_heads // groups
    gate, mixed, steps = layer.in_proj(x).split([inner, inner + 2 * states, layer.num_heads], -1)
    steps = functional.softplus(steps.float() + layer.dt_bias)
    rates = -layer.A_log.float().exp() * steps
    conv = layer.conv1d
    mixed = _convolved(mixed, conv.weight[:, 0], packing, silu=True, bias=conv.bias)
    state, parts = None, []
    for continues, mix, rate, step in _pieces(packing, mixed, rates, steps):
        value, before, after = mix.split([inner, states, states], -1)
        value = _by_head(value, layer.num_heads)
        before, after = (_by_head(rows, groups) for rows in (before, after))
        if groups > 1:
            before, after = (rows.repeat_interleave(each, 0) for rows in (before, after))
        out, state = state_update(
            value, before, after, rate.permute(2, 0, 1), step.permute(2, 0, 1), state, continues
        )
        out = (out + value * layer.D.to(out.dtype)[:, None, None, None]).permute(1, 2, 0, 3)
        parts.append(out[0] if continues else packing.in_a_row(out))
    joined = torch.cat(parts).flatten(1) * functional.silu(gate)
    if not isinstance(layer.norm, nn.Identity):
        scale = _inverse(joined, layer.norm.variance_epsilon, 1 / inner)[..., None].to(joined.dtype)
        joined = joined * scale * layer.norm.weight.to(joined.dtype)
    return layer.out_proj(joined)  # type: ignore[no-any-return]


def short_convolution(layer: Any, x: Tensor, packing: Packing) -> Tensor:
    """LFM2's and LFM3's gated convolution, [width, dim] to the same."""
    before, after, value = layer.in_proj(x).chunk(3, -1)
    mixed = _convolved(before * value, layer.conv.weight[:, 0], packing, bias=layer.conv.bias)
    return layer.out_proj(after * mixed)  # type: ignore[no-any-return]


# By a layer's class in transformers.
_MIXERS = {
    "FalconH1Mixer": selective_state,
    "GraniteMoeHybridMambaLayer": selective_state,
    "Lfm2MoeShortConv": short_convolution,
    "Lfm2ShortConv": short_convolution,
    "Lfm3ShortConv": short_convolution,
    "Qwen3_5GatedDeltaNet": gated_delta,
    "Qwen3_5MoeGatedDeltaNet": gated_delta,
}


def _convolved(
    row: Tensor, taps: Tensor, packing: Packing, silu: bool = False, bias: Tensor | None = None
) -> Tensor:
    """A causal depthwise convolution of [width, channels], taps [channels, count], bias [channels]; each
    sequence continues from the shared prefix."""
    taps = taps.float().T
    bias = taps.new_zeros(taps.shape[1]) if bias is None else bias.float()
    in_c = fused.takes(row) and len(taps) <= fused.TAPS
    return (fused.convolve if in_c else convolve_by_torch)(row, taps, bias, packing, silu)


def convolve_by_torch(row: Tensor, taps: Tensor, bias: Tensor, packing: Packing, silu: bool) -> Tensor:
    """fused.convolve by torch's operations, on any device, of any number of taps."""
    wide, history, shared = row.float(), len(taps) - 1, packing.shared
    parts = []
    for begin, end in packing.all_spans:
        length, known = end - begin, min(history, shared) if begin else 0
        before = wide.new_zeros(history - known, row.shape[1])
        x = torch.cat([before, wide[shared - known : shared], wide[begin:end]])
        out = torch.addcmul(bias, x[:length], taps[0])
        for place, tap in enumerate(taps[1:], 1):
            out = torch.addcmul(out, x[place : place + length], tap)
        parts.append(functional.silu(out) if silu else out)
    return torch.cat([*parts, wide.new_zeros(packing.filler, row.shape[1])]).to(row.dtype)


def delta_rule(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    rates: Tensor,
    steps: Tensor,
    state: Tensor | None,
    continues: bool,
    epsilon: float = _L2_EPS,
) -> tuple[Tensor, Tensor | None]:
    """The gated delta rule, S[t] = exp(rate) S[t-1] + step k^T (v - k exp(rate) S[t-1]), out[t] = q S[t] / root
    of the keys' length, with k and q of length 1.

    query, key [heads, sequences, length, keys], not yet of length 1; value [heads, sequences, length, values];
    rates (of decay, at most 0) and steps [heads, sequences, length], float32; state [heads, 1 or sequences,
    keys, values], or None for zeros. Returns out, like value, and the last state if it `continues`.

    Within a chunk the tokens' corrections solve a unit triangular system; the rest is matrix products (Yang et
    al., "Gated Delta Networks", 2024, section 3.3). Scales of rows are applied to the products, which are
    smaller than the rows or have scales already.
    """
    parts = []
    length = query.shape[2]
    key_scales, query_scales = _inverse(key, epsilon), _inverse(query, epsilon) * query.shape[-1] ** -0.5
    for begin in range(0, length, _CHUNK):
        part = slice(begin, begin + _CHUNK)
        q, k, v = query[:, :, part], key[:, :, part], value[:, :, part]
        q_scale, k_scale = query_scales[:, :, part, None], key_scales[:, :, part, None]
        step, decay = steps[:, :, part, None], rates[:, :, part].cumsum(-1)
        # Between two tokens of the chunk; the part above the diagonal, which would grow, is not used.
        between = (decay[..., None] - decay[..., None, :]).tril().exp().tril() * k_scale.transpose(2, 3)
        known, across = decay.exp()[..., None], k.transpose(2, 3)
        wanted = v * step
        if state is not None:
            wanted = torch.addcmul(wanted, _times(k, state), step * k_scale * known, value=-1)
        system = (k @ across) * (between * (step * k_scale))
        new = torch.linalg.solve_triangular(system, wanted, upper=False, unitriangular=True)
        out = ((q @ across) * (between * q_scale)).to(v.dtype) @ new.to(v.dtype)
        if state is not None:
            out = torch.addcmul(out, _times(q, state), (q_scale * known).to(out.dtype))
        parts.append(out)
        if continues or part.stop < length:
            left = (decay[..., -1:] - decay).exp()[..., None] * k_scale
            added = (across @ (new * left).to(k.dtype)).float()
            state = added if state is None else state * known[:, :, -1:] + added
    return torch.cat(parts, 2), state if continues else None


def state_update(
    value: Tensor,
    before: Tensor,
    after: Tensor,
    rates: Tensor,
    steps: Tensor,
    state: Tensor | None,
    continues: bool,
) -> tuple[Tensor, Tensor | None]:
    """Mamba-2's S[t] = exp(rate) S[t-1] + b^T (step x), out[t] = c S[t].

    value (x) [heads, sequences, length, width]; before, after (b, c) [1 or heads, sequences, length, states];
    rates, at most 0, and steps [heads, sequences, length], float32; state [heads, 1 or sequences, states,
    width], or None for zeros. Returns out, like value, and the last state if it `continues`.

    Within a chunk it is attention whose scores decay: Dao and Gu, "Transformers are SSMs", 2024, section 6.
    """
    parts = []
    length = value.shape[2]
    for begin in range(0, length, _CHUNK):
        part = slice(begin, begin + _CHUNK)
        x, b, c = value[:, :, part] * steps[:, :, part, None], before[:, :, part], after[:, :, part]
        decay, across = rates[:, :, part].cumsum(-1), b.transpose(2, 3)
        # The part above the diagonal, which would grow, is not used.
        between = (decay[..., None] - decay[..., None, :]).tril().exp().tril()
        known = decay.exp()[..., None]
        out = ((c @ across) * between).to(value.dtype) @ x.to(value.dtype)
        if state is not None:
            out = torch.addcmul(out, c @ state.to(c.dtype), known.to(out.dtype))
        parts.append(out)
        if continues or part.stop < length:
            added = (across @ (x * (decay[..., -1:] - decay).exp()[..., None]).to(b.dtype)).float()
            state = added if state is None else state * known[:, :, -1:] + added
    return torch.cat(parts, 2), state if continues else None


def _times(rows: Tensor, state: Tensor) -> Tensor:
    """[heads, sequences, length, keys] by [heads, 1 or sequences, keys, values], in the rows' type."""
    state = state.to(rows.dtype)
    if state.shape[1] == rows.shape[1]:
        return rows @ state
    return (rows.flatten(1, 2) @ state[:, 0]).view(*rows.shape[:3], -1)


def _inverse(rows: Tensor, eps: float, share: float = 1.0) -> Tensor:
    """1 / root of (share |row|^2 + eps), float32 or wider."""
    return _Inverse.apply(rows, eps, share)  # type: ignore[no-untyped-call, no-any-return]


class _Inverse(torch.autograd.Function):
    """The backward pass scales a row once, in its own type, as all gradients of that type are rounded."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, eps: float, share: float) -> Tensor:
        wide = torch.promote_types(rows.dtype, torch.float32)
        squares = torch.linalg.vector_norm(rows, dim=-1, dtype=wide).square()
        inverse = torch.rsqrt(squares * share + eps)
        ctx.save_for_backward(rows, inverse)
        ctx.share = share
        return inverse

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        rows, inverse = ctx.saved_tensors
        slopes = gradients[0] * inverse**3 * -ctx.share
        return rows * slopes[..., None].to(rows.dtype), None, None
