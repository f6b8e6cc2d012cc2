"""The frozen weights as a quantized file would hold them, so that an adapter learns to live with their errors.

The error of a quantized file is not noise that averages out: it is the same for every token. Where training
sees, every other step, W + (Q(W + scale B A) - (W + scale B A)) in W's place, with the gradient passed straight
through, the adapter moves to where the exact model and the quantized one are both right. The error is made anew
from time to time, as A and B move on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from tinsmith.formats.weights import weight_format
from tinsmith.models.family import by_name
from tinsmith.spec import Spec
from tinsmith.train.network import Network
from tinsmith.train.tensors import from_float32, from_folder, quantized_float32, to_folder


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
        self.exact = {role: module.base_layer.weight.data for role, (_, module) in self.linears.items()}
        self.weights: dict[str, Tensor] = {}

    @torch.no_grad()
    def renew(self) -> None:
        """Quantizes the model as it is now."""
        for role, (name, module) in self.linears.items():
            a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
            update = module.scaling["default"] * (b @ a).cpu()
            # Blocks lie along a row in the spec's order, which may be another than the network's.
            exact = torch.from_numpy(to_folder(name, self.spec.tensors[role]))
            merged = from_folder(name, (exact + update).numpy())
            quantized = from_float32(quantized_float32(merged, self.format))
            held = torch.from_numpy(to_folder(name, quantized))
            self.weights[role] = (held - update).to(self.exact[role])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the network computes with the rough weights."""
        self._use(self.weights)
        try:
            yield
        finally:
            self._use(self.exact)

    def _use(self, weights: dict[str, Tensor]) -> None:
        for role, (_, module) in self.linears.items():
            module.base_layer.weight.data = weights[role]
