"""The frozen weights as a quantized file would hold them, so that an adapter learns to live with their errors.

The error of a quantized file is not noise that averages out: it is the same for every token. Where training
sees, every other step, W + (Q(W + scale B A) - (W + scale B A)) in W's place, with the gradient passed straight
through, the adapter moves to where the exact model and the quantized one are both right. The error is made anew
from time to time, as A and B move on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from tinsmith.formats.weights import weight_format
from tinsmith.models.family import by_name
from tinsmith.spec import Spec
from tinsmith.train.blocks import Blocks
from tinsmith.train.network import Network
from tinsmith.train.packed import weight_of
from tinsmith.train.tensors import from_float32, from_folder, quantized, quantized_float32, to_folder


class Rough:
    """format: the quantized weight format, a name of formats.def. Matrices whose rows its blocks do not divide
    stay exact."""

    def __init__(self, spec: Spec, network: Network, format: str) -> None:
        block = weight_format(format).block
        names = {name.role: name for name in by_name(spec.family).tensors(spec.hyper)}
        self.spec, self.format = spec, format
        self.linears = {
            role: (names[role], module)
            for role, module in network.linears.items()
            if spec.tensors[role].inputs % block == 0
        }
        held = {role: weight_of(module.base_layer) for role, (_, module) in self.linears.items()}
        # The parameter will be given other data.
        self.exact = {role: one if isinstance(one, Blocks) else one.data for role, one in held.items()}
        self.weights: dict[str, Tensor | Blocks] = {}

    @property
    def size(self) -> int:
        """Bytes that the rough weights take."""
        kind = weight_format(self.format)
        return sum(
            one.rows * one.inputs // kind.block * kind.bytes if isinstance(one, Blocks) else one.nbytes
            for one in self.exact.values()
        )

    @torch.no_grad()
    def renew(self) -> None:
        """Quantizes the model as it is now."""
        for role, (name, module) in self.linears.items():
            a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
            update = module.scaling["default"] * (b @ a).cpu()
            # Blocks lie along a row in the spec's order, which may be another than the network's.
            exact = torch.from_numpy(to_folder(name, self.spec.tensors[role]))
            merged = from_folder(name, (exact + update).numpy())
            known = self.exact[role]
            if isinstance(known, Blocks):
                factors = (module.scaling["default"] * b, a.clone())
                self.weights[role] = known.replaced(quantized(merged, self.format), factors)
                continue
            held = torch.from_numpy(to_folder(name, from_float32(quantized_float32(merged, self.format))))
            self.weights[role] = (held - update).to(known)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the network computes with the rough weights."""
        self._use(self.weights)
        try:
            yield
        finally:
            self._use(self.exact)

    def _use(self, weights: Mapping[str, Tensor | Blocks]) -> None:
        for role, (_, module) in self.linears.items():
            weight = weights[role]
            if isinstance(weight, Blocks):
                module.base_layer.blocks = weight
            else:
                module.base_layer.weight.data = weight.data
