"""Layers that carry a state from token to token, over a packed row: short convolutions, gated delta rules and
selective state updates.

Their projections run on the row as it is. Where tokens meet, the sequences lie side by side, as they do in
attention: the prefix that all share is run once, and each sequence goes on from the state that it leaves, so
that none sees another. Products of matrices are in the projections' type; sums over time and the triangle that
a delta rule solves are float32.
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

# Tokens whose delta rule is solved at once: the triangle's work grows with it, the number of states falls.
_CHUNK = 64
_L2_EPS = 1e-6


def install(model: nn.Module) -> bool:
    """Lets the layers of transformers' model take a packed row; whether all of them can. Before peft's wrapper.

    A layer that is given a padded batch computes as transformers does.
    """
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
    """In the place of a layer's own: hidden_states [rows, width, dim], and of one row the same."""
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
    for go_on, mix, rate, step in _pieces(packing, mixed, rates, steps):
        query, key, value = mix.split([groups * keys, groups * keys, mix.shape[-1] - 2 * groups * keys], -1)
        query, key = (_by_head(rows, groups).repeat_interleave(heads // groups, 0) for rows in (query, key))
        given = (query, key, _by_head(value, heads), rate.permute(2, 0, 1), step.permute(2, 0, 1))
        out, state = delta_rule(*given, state, go_on, epsilon)
        out = out.permute(1, 2, 0, 3)
        parts.append(out[0] if go_on else packing.in_a_row(out))
    return torch.cat(parts)


def _by_head(rows: Tensor, heads: int) -> Tensor:
    """[sequences, length, channels] to [heads, sequences, length, channels of a head]."""
    return rows.view(*rows.shape[:-1], heads, -1).permute(2, 0, 1, 3)


def _pieces(packing: Packing, *rows: Tensor) -> Iterator[tuple[Any, ...]]:
    """Of a packed row's tensors the shared prefix, as one sequence, if there is one, and the sequences, side by
    side: [sequences, length, ...]; before them, whether others go on from it."""
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
    for go_on, mix, rate, step in _pieces(packing, mixed, rates, steps):
        value, before, after = mix.split([inner, states, states], -1)
        value = _by_head(value, layer.num_heads)
        before, after = (_by_head(rows, groups) for rows in (before, after))
        if groups > 1:
            before, after = (rows.repeat_interleave(each, 0) for rows in (before, after))
        out, state = state_update(
            value, before, after, rate.permute(2, 0, 1), step.permute(2, 0, 1), state, go_on
        )
        out = (out + value * layer.D.to(out.dtype)[:, None, None, None]).permute(1, 2, 0, 3)
        parts.append(out[0] if go_on else packing.in_a_row(out))
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
    sequence goes on from the shared prefix."""
    taps = taps.float().T
    bias = taps.new_zeros(taps.shape[1]) if bias is None else bias.float()
    way = fused.convolve if fused.takes(row) and len(taps) <= fused.TAPS else _Convolution.apply
    return way(row, taps, bias, packing, silu)


class _Convolution(torch.autograd.Function):
    """y[t] = bias + sum over j of taps[j] x[t + j - count + 1], or silu of that; x goes on from the shared
    prefix.

    row [width, channels], taps [count, channels] and bias [channels] float32, to [width, channels] in the row's
    type, the filler 0: where the core's C does not do it.
    """

    @staticmethod
    def forward(ctx: Any, row: Tensor, taps: Tensor, bias: Tensor, packing: Packing, silu: bool) -> Tensor:
        taps = taps.contiguous()
        ctx.save_for_backward(row, taps, bias)
        ctx.packing, ctx.silu = packing, silu
        result = torch.zeros_like(row)
        for begin, end in packing.all_spans:
            out = _Convolution.sums(_Convolution.before(row, begin, end, len(taps), packing.shared), taps, bias)
            result[begin:end] = functional.silu(out, inplace=True) if silu else out
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        row, taps, bias = ctx.saved_tensors
        shared, history = ctx.packing.shared, len(taps) - 1
        d_row = row.new_zeros(row.shape, dtype=torch.float32)
        d_taps, d_bias = torch.zeros_like(taps), torch.zeros_like(bias)
        for begin, end in ctx.packing.all_spans:
            out = gradients[0][begin:end].float()
            x = _Convolution.before(row, begin, end, len(taps), shared)
            if ctx.silu:
                out = torch.ops.aten.silu_backward(out, _Convolution.sums(x, taps, bias))
            if ctx.needs_input_grad[2]:
                d_bias += out.sum(0)
            d_x = torch.zeros_like(x)
            for place, tap in enumerate(taps):
                part = slice(place, place + len(out))
                d_x[part].addcmul_(out, tap)
                if ctx.needs_input_grad[1]:
                    d_taps[place] += (x[part] * out).sum(0)
            d_row[begin:end] += d_x[history:]
            known = min(history, shared) if begin else 0
            d_row[shared - known : shared] += d_x[history - known : history]
        return d_row.to(row.dtype), d_taps, d_bias, None, None

    @staticmethod
    def before(row: Tensor, begin: int, end: int, count: int, shared: int) -> Tensor:
        """row[begin:end] and the count - 1 tokens before it, of the prefix or none: float32."""
        known = min(count - 1, shared) if begin else 0
        x = row.new_zeros(count - 1 + end - begin, row.shape[1], dtype=torch.float32)
        x[count - 1 - known : count - 1] = row[shared - known : shared]
        x[count - 1 :] = row[begin:end]
        return x

    @staticmethod
    def sums(x: Tensor, taps: Tensor, bias: Tensor) -> Tensor:
        length = len(x) - len(taps) + 1
        out = torch.addcmul(bias, x[:length], taps[0])
        for place, tap in enumerate(taps[1:], 1):
            out.addcmul_(x[place : place + length], tap)
        return out


def delta_rule(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    rates: Tensor,
    steps: Tensor,
    state: Tensor | None,
    go_on: bool,
    epsilon: float = _L2_EPS,
) -> tuple[Tensor, Tensor | None]:
    """The gated delta rule, S[t] = exp(rate) S[t-1] + step k^T (v - k exp(rate) S[t-1]), out[t] = q S[t] / root
    of the keys' length, with k and q of length 1.

    query, key [heads, sequences, length, keys], not yet of length 1; value [heads, sequences, length, values];
    rates (of decay, at most 0) and steps [heads, sequences, length], float32; state [heads, 1 or sequences,
    keys, values], or None for zeros. To out, like value, and where it is to go on the last state.

    Within a chunk the corrections that tokens write solve a unit triangular system, and the rest is products of
    matrices: Yang et al., "Gated Delta Networks", 2024, section 3.3. What scales a row of a product scales the
    product, which is smaller than the row or has to be scaled anyway.
    """
    parts = []
    length = query.shape[2]
    key_scales, query_scales = _inverse(key, epsilon), _inverse(query, epsilon) * query.shape[-1] ** -0.5
    for begin in range(0, length, _CHUNK):
        part = slice(begin, begin + _CHUNK)
        q, k, v = query[:, :, part], key[:, :, part], value[:, :, part]
        q_scale, k_scale = query_scales[:, :, part, None], key_scales[:, :, part, None]
        step, decay = steps[:, :, part, None], rates[:, :, part].cumsum(-1)
        # Between two tokens of the chunk; above the diagonal, where it would grow, it is never wanted.
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
        if go_on or part.stop < length:
            left = (decay[..., -1:] - decay).exp()[..., None] * k_scale
            added = (across @ (new * left).to(k.dtype)).float()
            state = added if state is None else state * known[:, :, -1:] + added
    return torch.cat(parts, 2), state if go_on else None


def state_update(
    value: Tensor,
    before: Tensor,
    after: Tensor,
    rates: Tensor,
    steps: Tensor,
    state: Tensor | None,
    go_on: bool,
) -> tuple[Tensor, Tensor | None]:
    """Mamba-2's S[t] = exp(rate) S[t-1] + b^T (step x), out[t] = c S[t].

    value (x) [heads, sequences, length, width]; before, after (b, c) [1 or heads, sequences, length, states];
    rates, at most 0, and steps [heads, sequences, length], float32; state [heads, 1 or sequences, states,
    width], or None for zeros. To out, like value, and where it is to go on the last state. Within a chunk it is
    attention whose scores decay: Dao and Gu, "Transformers are SSMs", 2024, section 6.
    """
    parts = []
    length = value.shape[2]
    for begin in range(0, length, _CHUNK):
        part = slice(begin, begin + _CHUNK)
        x, b, c = value[:, :, part] * steps[:, :, part, None], before[:, :, part], after[:, :, part]
        decay, across = rates[:, :, part].cumsum(-1), b.transpose(2, 3)
        # Above the diagonal, where it would grow, it is never wanted.
        between = (decay[..., None] - decay[..., None, :]).tril().exp().tril()
        known = decay.exp()[..., None]
        out = ((c @ across) * between).to(value.dtype) @ x.to(value.dtype)
        if state is not None:
            out = torch.addcmul(out, c @ state.to(c.dtype), known.to(out.dtype))
        parts.append(out)
        if go_on or part.stop < length:
            added = (across @ (x * (decay[..., -1:] - decay).exp()[..., None]).to(b.dtype)).float()
            state = added if state is None else state * known[:, :, -1:] + added
    return torch.cat(parts, 2), state if go_on else None


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
    """On the way back a row is scaled once, in its own type, as all gradients of that type are rounded."""

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
