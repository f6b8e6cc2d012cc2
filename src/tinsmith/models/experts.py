"""A mixture of experts as a layer's feed-forward: its tensors, its ops, and fused experts in folders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from tinsmith import _core
from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.formats.safetensors import Tensor as Stored
from tinsmith.graph import GraphBuilder, Value
from tinsmith.models.decoder import Key
from tinsmith.models.family import Family, TensorName
from tinsmith.spec import Buffer, Hyper

KEYS = (
    Key("experts", "num_experts", "expert_count"),
    Key("chosen", "num_experts_per_tok", "expert_used_count"),
    Key("expert_dim", "moe_intermediate_size", "expert_feed_forward_length"),
)
_PARTS = ("gate", "up", "down")
# Folder's name of the feed-forward → its names of an expert's three matrices.
_MATRICES = {"mlp": ("gate_proj", "up_proj", "down_proj"), "feed_forward": ("w1", "w3", "w2")}
# All experts of a layer in one tensor, as transformers keeps them in memory since version 5.
_FUSED = re.compile(rf"(.+\.({'|'.join(_MATRICES)})\.experts)\.(gate_up_proj|down_proj)")


class Mixture(Family):
    """A family with experts in some layers; `hyper` has the fields of KEYS."""

    mixture = True
    keys: ClassVar[tuple[Key, ...]] = KEYS

    def hyper_from_hf(self, config: Mapping[str, Any]) -> Hyper:
        named = {"num_experts": config.get("num_local_experts")} if config.get("num_local_experts") else {}
        return super().hyper_from_hf({**config, **named})

    def check(self, h: Any, where: str) -> None:
        super().check(h, where)
        if h.chosen > h.experts:
            raise FormatError(f"{where}: a token can't go to {h.chosen} of {h.experts} experts")
        if h.experts > _core.MAX_EXPERTS:
            raise UnsupportedError(f"{where}: {h.experts} experts are too many; at most {_core.MAX_EXPERTS}")


def routed_tensors(dim: int, ffn_dim: int, experts: int, module: str = "mlp") -> list[TensorName]:
    """The router and each projection of all experts as one tensor, named without the layer's prefix.
    ffn_dim: inner width of an expert; module: the feed-forward's name in a folder."""
    names = [TensorName("router", f"{module}.gate.weight", "ffn_gate_inp.weight", experts, dim)]
    for part, matrix in zip(_PARTS, _MATRICES[module], strict=True):
        hf, gguf = f"{module}.experts.*.{matrix}.weight", f"ffn_{part}_exps.weight"
        names.append(TensorName(f"{part}_experts", hf, gguf, *_size(part, dim, ffn_dim), experts=experts))
    return names


def shared_tensors(dim: int, ffn_dim: int) -> list[TensorName]:
    """The shared expert and the gate that weighs it, named without the layer's prefix."""
    hf, gguf = "mlp.shared_expert_gate.weight", "ffn_gate_inp_shexp.weight"
    names = [TensorName("shared_gate", hf, gguf, 1, dim, hf_shape=(1, dim))]
    for part in _PARTS:
        hf, gguf = f"mlp.shared_expert.{part}_proj.weight", f"ffn_{part}_shexp.weight"
        names.append(TensorName(f"{part}_shared", hf, gguf, *_size(part, dim, ffn_dim)))
    return names


def _size(part: str, dim: int, ffn_dim: int) -> tuple[int, int]:
    return (dim, ffn_dim) if part == "down" else (ffn_dim, dim)


def routed(
    g: GraphBuilder, layer: str, y: Value, residual: Value, *, experts: int, chosen: int, normalize: bool = True
) -> Value:
    """residual + the layer's chosen experts of y."""
    routes = g.route(g.matmul(y, f"{layer}.router"), chosen, normalize=normalize)
    return through(g, layer, y, residual, routes, experts)


def through(g: GraphBuilder, layer: str, y: Value, residual: Value, routes: Value, experts: int) -> Value:
    """residual + the layer's experts of y, by its routes."""
    rows = g.expert_gather(y, routes)
    gate = g.expert_matmul(rows, routes, f"{layer}.gate_experts", experts)
    up = g.expert_matmul(rows, routes, f"{layer}.up_experts", experts)
    parts = g.expert_matmul(g.gated(gate, up), routes, f"{layer}.down_experts", experts)
    return g.expert_sum(parts, routes, residual)


def shared(g: GraphBuilder, layer: str, y: Value, residual: Value) -> Value:
    """residual + the layer's shared expert of y, weighed by its gate."""
    gate, up = g.matmuls(y, f"{layer}.gate_shared", f"{layer}.up_shared")
    part = g.matmul(g.gated(gate, up), f"{layer}.down_shared")
    return g.shared_expert(part, g.dot(y, f"{layer}.shared_gate"), residual)


def one_by_one(stored: Mapping[str, Stored]) -> dict[str, Stored]:
    """A folder's tensors with fused experts split into one matrix each, the form of most checkpoints."""
    tensors: dict[str, Stored] = {}
    for name, tensor in stored.items():
        fused = _FUSED.fullmatch(name)
        if not fused or len(tensor.shape) != 3 or not tensor.size:  # no expert may be free
            tensors[name] = tensor
            continue
        experts, rows, inputs = tensor.shape
        gate, up, down = _MATRICES[fused[2]]
        kinds = (gate, up) if fused[3] == "gate_up_proj" else (down,)
        assert isinstance(tensor.data, Buffer)
        data = memoryview(tensor.data)
        size = len(data) // experts // len(kinds)
        for k in range(experts * len(kinds)):
            expert, kind = divmod(k, len(kinds))
            shape = (rows // len(kinds), inputs)
            tensors[f"{fused[1]}.{expert}.{kinds[kind]}.weight"] = Stored(
                tensor.dtype, shape, data[k * size : (k + 1) * size]
            )
    return tensors
