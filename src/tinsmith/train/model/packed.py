"""A base whose frozen matrices stay in the blocks of its GGUF file: transformers' model, with modules that
unpack a matrix to multiply by it.

QLoRA (Dettmers et al., arXiv 2305.14314) in the shipped formats: an adapter is trained on the very file that it
will run on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tinsmith.models.family import TensorName, by_name
from tinsmith.spec import Spec
from tinsmith.spec import Tensor as SpecTensor
from tinsmith.train.adapters.peft_folder import spec_order
from tinsmith.train.layers.blocks import Blocks, from_buffer, times_matrix


class Linear(nn.Linear):
    """nn.Linear, as peft expects it, on blocks that are set when the model is made."""

    blocks: Blocks

    def __init__(self, like: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = like.in_features, like.out_features
        self.bias = like.bias

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """Bytes, by which peft finds the device."""
        return self.blocks.data

    def forward(self, x: Tensor) -> Tensor:
        out = times_matrix(x.flatten(0, -2), self.blocks).view(*x.shape[:-1], -1)
        return out if self.bias is None else out + self.bias


class Embedding(nn.Module):
    """Embedding in blocks; scale: some families' factor."""

    blocks: Blocks

    def __init__(self, like: nn.Embedding) -> None:
        super().__init__()
        self.scale: float = getattr(like, "scalar_embed_scale", 1.0)

    def forward(self, tokens: Tensor) -> Tensor:
        values = self.blocks.lookup(tokens)
        return values if self.scale == 1.0 else values * self.scale


class Experts(nn.Module):
    """A mixture's experts, computed in sequence, each on the tokens that chose it."""

    gate: Blocks
    up: Blocks
    down: Blocks

    def __init__(self, like: Any) -> None:
        super().__init__()
        self.count, self.act = like.num_experts, like.act_fn

    def forward(self, states: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        """states [tokens, dim]; chosen, weights [tokens, experts a token]."""
        out = torch.zeros_like(states)
        wide, dim = self.gate.rows // self.count, self.down.rows // self.count
        for expert in torch.unique(chosen).tolist():
            token, place = torch.where(chosen == expert)
            gate, up, down = (
                matrix.part(expert * rows, rows)
                for matrix, rows in ((self.gate, wide), (self.up, wide), (self.down, dim))
            )
            own = states[token]
            inner = self.act(times_matrix(own, gate)) * times_matrix(own, up)
            out = out.index_add(0, token, times_matrix(inner, down) * weights[token, place, None])
        return out


def weight_of(linear: nn.Linear) -> Tensor | Blocks:
    """A linear layer's matrix, as floats or in blocks."""
    return linear.blocks if isinstance(linear, Linear) else linear.weight


@dataclass(frozen=True)
class Place:
    """A tensor's place: a module's path, and the name of its attribute."""

    module: str
    attribute: str
    name: TensorName


def places(model: Any, spec: Spec) -> list[Place]:
    """The places of tensors that can stay in blocks: matrices that are only multiplied by, or looked up in.
    model: transformers' model, possibly without weights."""
    places = []
    for name in by_name(spec.family).tensors(spec.hyper):
        path = name.hf.removesuffix(".weight")
        if name.experts:
            places.append(Place(path.partition(".*.")[0], name.expert_part, name))
        elif name.rows > 1 and isinstance(model.get_submodule(path), nn.Linear | nn.Embedding):
            places.append(Place(path, "blocks", name))
        if name.role == "embed" and spec.hyper.tied:
            places.append(Place("lm_head", "blocks", name))
    return places


def hollow(kind: Any, places: Sequence[Place]) -> Any:
    """transformers' class of model, except the modules whose weights stay in blocks."""

    def build(self: Any, config: Any) -> None:
        kind.__init__(self, config)
        for path in dict.fromkeys(place.module for place in places):
            module = self.get_submodule(path)
            kinds = {nn.Linear: Linear, nn.Embedding: Embedding}
            new = next((new for old, new in kinds.items() if isinstance(module, old)), Experts)
            self.set_submodule(path, new(module))

    # A head tied to the embedding shares its blocks, not a parameter. transformers leaves buffers of
    # other libraries' classes as they are, uninitialized.
    own = {"__init__": build, "_tied_weights_keys": None, "__module__": kind.__module__}
    return type(kind.__name__, (kind,), own)


def fill(model: Any, spec: Spec, places: Sequence[Place]) -> None:
    """Sets a hollow model's blocks, on the spec's own memory."""
    made: dict[str, Blocks] = {}
    for place in places:
        role = place.name.role
        if role not in made:
            made[role] = _blocks(place.name, spec.tensors[role])
        setattr(model.get_submodule(place.module), place.attribute, made[role])


def _blocks(name: TensorName, tensor: SpecTensor) -> Blocks:
    data = from_buffer(tensor.format, tensor.data, tensor.rows, tensor.inputs)
    order = columns = None
    if (places := spec_order(name)) is not None:
        # Row r of the folder is the spec's row whose place is r.
        rows, columns = (torch.from_numpy(part) for part in places)
        order = rows.argsort().int()
        order = None if torch.equal(order, torch.arange(len(order), dtype=torch.int32)) else order
        columns = None if torch.equal(columns, torch.arange(len(columns))) else columns.long()
    return Blocks(tensor.format, data, tensor.inputs, order, columns)
