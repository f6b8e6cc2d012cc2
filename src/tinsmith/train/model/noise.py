"""Noise on the embeddings while training, against learning the examples by heart (NEFTune: Jain et al., arXiv
2310.05914)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from tinsmith.train.batches.packing import Packing
    from tinsmith.train.model.network import Network


def install(network: Network, alpha: float) -> None:
    """From now on each embedded token [dim] of a sequence of L tokens gains, while the network is in training,
    what is drawn evenly from -alpha / sqrt(L * dim) to alpha / sqrt(L * dim). No sequences may share a prefix.
    """
    seen: list[Packing] = []

    def see(trunk: nn.Module, arguments: Any, named: dict[str, Any]) -> None:
        seen[:] = [named["packing"]]

    def add(module: nn.Module, arguments: Any, embedded: Tensor) -> Tensor:
        if not module.training:
            return embedded
        parts = seen[0].parts
        lengths = parts.bincount()[parts].view(*embedded.shape[:-1], 1)
        width = alpha / (lengths * embedded.shape[-1]).sqrt()
        return embedded + (2 * torch.rand_like(embedded) - 1) * width.to(embedded.dtype)

    network.trunk.register_forward_pre_hook(see, with_kwargs=True)
    trunk: Any = network.trunk
    trunk.get_input_embeddings().register_forward_hook(add)
