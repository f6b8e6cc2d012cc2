"""The frozen weights with the shipped file's quantization errors, so that an adapter learns to compensate them.

The error of a quantized file is not noise that averages out: it is the same for every token. Training replaces
W by W + (Q(W + scale B A) - (W + scale B A)), with a straight-through gradient, so the adapter moves to where
the exact and the quantized model are both right. The error is computed again from time to time, as A and B
change. Q is the encoder of the built files, tensor by tensor in the preset's formats, and weighs errors by
recent inputs. Weights without an adapter are quantized too, including the embedding and the output head.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from tinsmith import quant
from tinsmith.formats.weights import weight_format
from tinsmith.models.family import TensorName, by_name
from tinsmith.quant.convert import converted
from tinsmith.quant.model import Feedback
from tinsmith.quant.presets import Mix
from tinsmith.spec import Spec
from tinsmith.spec import Tensor as SpecTensor
from tinsmith.train.adapters.peft_folder import Factors
from tinsmith.train.layers.blocks import Blocks
from tinsmith.train.merge import merged_tensor
from tinsmith.train.model.network import Network
from tinsmith.train.model.packed import weight_of
from tinsmith.train.quantized import importance
from tinsmith.train.tensors import below, to_folder

_GROUP = 1 << 24  # weights that are float32 at once, encoded on all cores


@dataclass
class _Matrix:
    """What the network computes with, its exact value and its quantized one. columns: by role, where in
    dimension 1 a tensor lies that shares it with others."""

    target: Tensor | Blocks
    exact: Tensor | Blocks
    quantized: Tensor | Blocks | None = None
    columns: dict[str, slice] = field(default_factory=dict)

    def use(self, value: Tensor | Blocks | None) -> None:
        if isinstance(self.target, Blocks):
            assert isinstance(value, Blocks)
            self.target.become(value)
        else:
            assert isinstance(value, Tensor)
            self.target.data = value

    def put(self, role: str, tensor: SpecTensor, name: TensorName, factors: Factors | None) -> None:
        """The quantized value is that of a tensor, without the adapter's own addend."""
        if isinstance(self.exact, Blocks):
            less = None
            if factors is not None:
                b, a = (torch.from_numpy(part) for part in (factors.scale * factors.b, factors.a))
                less = b.to(self.exact.data.device), a.to(self.exact.data.device)
            self.quantized = self.exact.replaced(tensor, less)
            return
        value = to_folder(name, tensor)
        if factors is not None:
            value -= factors.update().reshape(value.shape)
        given = torch.from_numpy(value).to(self.exact)
        if role not in self.columns:
            self.quantized = given
            return
        if self.quantized is None:
            self.quantized = self.exact.clone()
        assert isinstance(self.quantized, Tensor)
        self.quantized[:, self.columns[role]] = given


class FakeQuantization:
    """preset: a preset's name or a mix, with the file's formats; feedback: as for quant.encoder, if the file is
    built with it.

    used: the source of the current quantized weights, which a checkpoint keeps: by name, the adapter's factors
    and the mean squares of inputs; is_made: whether there are quantized weights.
    """

    def __init__(
        self, spec: Spec, network: Network, preset: str | Mix, feedback: Feedback | None = None
    ) -> None:
        # A preset chooses by whether inputs will be weighed, too.
        self.encode = quant.encoder(spec, preset, None if feedback else {"": b""}, feedback=feedback)
        self.spec, self.network = spec, network
        formats = self.encode.formats
        names = [name for name in by_name(spec.family).tensors(spec.hyper) if name.hf]
        self.names = [name for name in names if formats.get(name.role, "F32") != "F32"]
        every: dict[int, _Matrix] = {}
        self.matrices: dict[str, list[_Matrix]] = {}
        for name in self.names:
            for target, columns in _targets(network, name, spec.hyper.tied):
                known = target.copy() if isinstance(target, Blocks) else target.data
                one = every.setdefault(id(target), _Matrix(target, known))
                if columns is not None:
                    one.columns[name.role] = columns
                self.matrices.setdefault(name.role, []).append(one)
        self.every = list(every.values())
        self.used: dict[str, Tensor] = {}
        self.is_made = False

    @property
    def size(self) -> int:
        """Approximate bytes of the quantized weights."""
        total = 0
        for name in self.names:
            kind, count = weight_format(self.encode.formats[name.role]), name.all_rows * name.inputs
            for one in self.matrices[name.role]:
                is_packed = isinstance(one.exact, Blocks)
                total += count // kind.block * kind.bytes if is_packed else count * one.exact.dtype.itemsize
        return total

    @torch.no_grad()
    def renew(self, squares: Mapping[str, Tensor]) -> None:
        """Quantizes the current model. squares: of the adapted layers' inputs, by role."""
        weighed = {} if self.encode.feedback else squares
        self.used = {f"square:{role}": one.clone() for role, one in weighed.items()}
        for role, module in self.network.linears.items():
            for part, factor in (("a", module.lora_A), ("b", module.lora_B)):
                self.used[f"{part}:{role}"] = factor["default"].weight.detach().cpu().clone()
        self.make()

    def make(self) -> None:
        """Quantizes from `used`."""
        for name, tensor, factors in self.encoded():
            for one in self.matrices[name.role]:
                one.put(name.role, tensor, name, factors)
        self.is_made = True

    def encoded(self) -> Iterator[tuple[TensorName, SpecTensor, Factors | None]]:
        """The tensors in the file's formats: the adapted ones, given with the adapter's update, every time; the
        others the first time only."""
        squares = importance.weights(below("square:", self.used))
        encode = dataclasses.replace(self.encode, importance=squares)
        linears = self.network.linears
        wanted = [name for name in self.names if name.role in linears or not self.is_made]
        for group in _groups(wanted):
            factors = {name.role: self._factors(name) for name in group if name.role in linears}
            merged = {
                name.role: merged_tensor(name, self.spec.tensors[name.role], factors.get(name.role))
                for name in group
            }
            exact = dataclasses.replace(self.spec, tensors=merged)
            made = converted([encode.job(exact, name) for name in group])
            for name, tensor in zip(group, made, strict=True):
                yield name, tensor, factors.get(name.role)

    def _factors(self, name: TensorName) -> Factors:
        a, b = (self.used[f"{part}:{name.role}"].numpy() for part in "ab")
        return Factors(name, a, b, self.network.linears[name.role].scaling["default"])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the network computes with the quantized weights."""
        for one in self.every:
            one.use(one.quantized)
        try:
            yield
        finally:
            for one in self.every:
                one.use(one.exact)


def _targets(network: Network, name: TensorName, is_tied: bool) -> list[tuple[Tensor | Blocks, slice | None]]:
    """The network's tensors for a tensor of the spec, and its part of each."""
    if name.role in network.linears:
        return [(weight_of(network.linears[name.role].base_layer), None)]
    if name.role == "head":
        return [(network.head, None)]
    base: Any = network.model.get_base_model()
    path = name.hf.removesuffix(".weight")
    if name.experts:
        return [_experts(base, path, name)]
    module = base.get_submodule(path)
    own = module.blocks if hasattr(module, "blocks") else module.weight
    if name.role == "embed" and is_tied and own is not network.head:
        return [(own, None), (network.head, None)]
    return [(own, None)]


def _experts(base: Any, path: str, name: TensorName) -> tuple[Tensor | Blocks, slice | None]:
    """A mixture's routed experts: transformers has gate and up of all experts in one tensor, gate first."""
    experts, part = base.get_submodule(path.partition(".*.")[0]), name.expert_part
    if isinstance(packed := getattr(experts, part, None), Blocks):
        return packed, None
    if part == "down":
        return experts.down_proj, None
    first = name.rows if part == "up" else 0
    return experts.gate_up_proj, slice(first, first + name.rows)


def _groups(names: Sequence[TensorName]) -> Iterator[list[TensorName]]:
    """Neighbours of about _GROUP weights together."""
    group: list[TensorName] = []
    count = 0
    for name in names:
        size = name.all_rows * name.inputs
        if group and count + size > _GROUP:
            yield group
            group, count = [], 0
        group.append(name)
        count += size
    if group:
        yield group
