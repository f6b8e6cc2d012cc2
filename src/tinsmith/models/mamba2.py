"""Mamba-2's selective state update as a part of a layer: a gate, a short convolution over x, B and C, and the
states. The heads of a group share B and C.

Dao and Gu, "Transformers are SSMs: Generalized Models and Efficient Algorithms Through Structured State Space
Duality", 2024.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from tinsmith import layouts
from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.formats.weights import to_float32
from tinsmith.graph import GraphBuilder, Value
from tinsmith.models import decoder
from tinsmith.models.decoder import Key
from tinsmith.models.family import Fields, TensorName
from tinsmith.spec import Hyper

DEFAULTS = {
    "mamba_n_heads": 128,
    "mamba_n_groups": 1,
    "mamba_d_state": 256,
    "mamba_d_conv": 4,
    "mamba_expand": 2,
}
ONLY: dict[str, tuple[Any, ...]] = {"mamba_conv_bias": (True,), "mamba_proj_bias": (False,)}
KEYS = (
    Key("taps", "mamba_d_conv", "ssm.conv_kernel"),
    Key("state_groups", "mamba_n_groups", "ssm.group_count", default=1),
    Key("state_dim", "mamba_d_state", "ssm.state_size"),
    Key("state_heads", "mamba_n_heads", "ssm.time_step_rank"),
)


@dataclass(frozen=True)
class Mamba2Hyper(Hyper):
    """state_heads heads of state_head_dim elements over states of state_dim, in state_groups groups, behind a
    convolution of `taps` tokens."""

    state_heads: int
    state_head_dim: int
    state_dim: int
    taps: int
    state_groups: int = field(default=1, kw_only=True)


def inner(h: Mamba2Hyper) -> int:
    """The width of x."""
    return h.state_heads * h.state_head_dim


def channels(h: Mamba2Hyper) -> int:
    """Channels of the convolution: x, B and C."""
    return inner(h) + 2 * h.state_groups * h.state_dim


def head_dim_from_hf(fields: Fields, width: int) -> int:
    """width: of x."""
    fields.refuse("time_step_limit", [0.0, {"__float__": "Infinity"}])  # as transformers writes infinity
    heads = fields.count("mamba_n_heads")
    usual, given = max(width // heads, 1), fields.get("mamba_d_head")
    head_dim = usual if given == "auto" else fields.count("mamba_d_head", usual)
    if head_dim * heads != width:
        raise FormatError(
            f"{fields.where}: mamba_n_heads {heads} times mamba_d_head {head_dim} is not mamba_d_ssm, or "
            f"mamba_expand times hidden_size, {width}"
        )
    return head_dim


def head_dim_from_gguf(fields: Fields) -> int:
    heads, width = fields.count("ssm.time_step_rank"), fields.count("ssm.inner_size")
    if width % heads:
        raise FormatError(f"{fields.where}: {heads} heads (ssm.time_step_rank) of ssm.inner_size {width}")
    return width // heads


def hyper_to_gguf(h: Mamba2Hyper) -> dict[str, int]:
    return dict(sorted({**decoder.to_gguf(h, KEYS), "ssm.inner_size": inner(h)}.items()))


def check(h: Mamba2Hyper, where: str) -> None:
    if h.state_head_dim % 16 or h.state_dim % 16:
        raise UnsupportedError(
            f"{where}: Mamba-2 heads of {h.state_head_dim} over states of {h.state_dim}; supported: multiples "
            "of 16"
        )
    if h.state_heads % h.state_groups:
        raise UnsupportedError(f"{where}: {h.state_heads} Mamba-2 heads are not {h.state_groups} even groups")


def mixed(h: Mamba2Hyper, g: GraphBuilder, layer: str, y: Value) -> Value:
    """The gated output of the states. `in` projects to the gate, the convolution's input and the steps."""
    parts, width = g.matmul(y, f"{layer}.in"), inner(h)
    gate = g.slice(parts, 0, width)
    steps = g.slice(parts, width + channels(h), h.state_heads)
    x = g.conv(g.slice(parts, width, channels(h)), f"{layer}.conv", act="silu", bias=f"{layer}.conv_bias")
    names = {"rate": f"{layer}.rate", "bias": f"{layer}.dt_bias", "skip": f"{layer}.skip"}
    return g.gated(gate, g.scan(x, steps, **names, groups=h.state_groups, state_dim=h.state_dim))


def tensors(h: Mamba2Hyper, out: str) -> list[TensorName]:
    """Named without the layer's prefix. out: role of the last projection."""

    def a_head(role: str, hf: str, gguf: str, *dims: int) -> TensorName:
        return TensorName(role, hf, gguf, 1, h.state_heads, gguf_dims=dims or None)

    conv = TensorName("conv", "mamba.conv1d.weight", "ssm_conv1d.weight", channels(h), h.taps)
    rate = a_head("rate", "mamba.A_log", "ssm_a", 1, h.state_heads)
    rows = inner(h) + channels(h) + h.state_heads
    return [
        TensorName("in", "mamba.in_proj.weight", "ssm_in.weight", rows, h.dim),
        replace(conv, hf_shape=(channels(h), 1, h.taps), from_hf=to_float32),
        TensorName("conv_bias", "mamba.conv1d.bias", "ssm_conv1d.bias", 1, channels(h)),
        a_head("dt_bias", "mamba.dt_bias", "ssm_dt.bias"),
        replace(rate, from_hf=layouts.minus_exp, to_hf=layouts.log_of_minus),
        a_head("skip", "mamba.D", "ssm_d", 1, h.state_heads),
        TensorName(out, "mamba.out_proj.weight", "ssm_out.weight", h.dim, inner(h)),
    ]
