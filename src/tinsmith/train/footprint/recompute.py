"""Recomputes activations in the backward pass instead of keeping them.

Chen et al., "Training Deep Nets with Sublinear Memory Cost", arXiv 1604.06174.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

Level = Literal["none", "half", "all"]  # of the layers
LEVELS: tuple[Level, ...] = ("none", "half", "all")
WORDS = {
    "none": "all activations kept",
    "half": "every second layer's activations recomputed",
    "all": "all activations recomputed",
}


def set_level(trunk: nn.Module, level: Level) -> None:
    """Chooses the trunk's layers whose activations are recomputed."""
    layers: Any = trunk.layers
    for number, layer in enumerate(layers):
        layer.__dict__.pop("forward", None)
        if level == "all" or (level == "half" and number % 2):
            layer.forward = partial(_forward, layer.forward)


def is_recomputed(layer: nn.Module) -> bool:
    return "forward" in layer.__dict__


def _forward(plain: Any, *args: Any, **options: Any) -> Any:
    if torch.is_grad_enabled():
        return checkpoint(plain, *args, use_reentrant=False, **options)
    return plain(*args, **options)
