"""Random tiny models with weights of the sizes that trained models have: norms' from 0.05 to 80, and channels
that are 50 times the others.

With small weights, and with large ones alone, layers that compute different functions give about the same.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.models.tiny_models import cases, tiny_spec
from tests.models.transformers_models import save_random, some_tokens
from tinsmith.errors import UnsupportedError

NORMS, HEADS = (0.05, 80.0), (0.05, 4.0)  # of queries and keys, whose products are scores
OUTLIER = 50.0
SPREAD = 3.0  # of the logits
# Norms that multiply by 1 + weight.
_FROM_ONE = ("Gemma2RMSNorm", "Gemma3RMSNorm", "Qwen3_5RMSNorm", "Qwen3_5MoeRMSNorm")
_OF_HEADS = ("q_norm", "k_norm", "q_layernorm", "k_layernorm", "query_layernorm", "key_layernorm")


def tied_or_not() -> list[tuple[str, bool]]:
    """Every tiny config, with a head of its own and without, where the family has both."""
    found = []
    for case in cases():
        for tied in (True, False):
            try:
                tiny_spec(case, tie_word_embeddings=tied)
            except UnsupportedError:
                continue
            found.append((case, tied))
    return found


def save(case: str, folder: Path, **changes: Any) -> Any:
    """As save_random does."""
    return save_random(case, folder, resize, **changes)


@torch.no_grad()
def resize(model: Any) -> None:
    """Each matrix is divided by the size of what it makes of some tokens, so that scores, gates and states stay
    in the range where they count."""
    for path, module in model.named_modules():
        weight, kind = getattr(module, "weight", None), type(module).__name__
        if "RMSNorm" in kind and isinstance(weight, Tensor):
            layer, is_of_heads = model.get_submodule(path.rpartition(".")[0]), path.endswith(_OF_HEADS)
            low, high = HEADS if is_of_heads else NORMS
            drawn = torch.empty(len(weight)).uniform_(math.log(low), math.log(high)).exp()
            if is_of_heads and layer.scaling == 1:
                drawn /= layer.head_dim**0.25
            _set(module, drawn)
            last = module, drawn
    model.get_input_embeddings().weight[:, :2] *= OUTLIER
    tokens, head = torch.tensor([some_tokens(model.config.vocab_size)]), model.get_output_embeddings()

    def settle(linear: nn.Linear, given: tuple[Tensor, ...], made: Tensor) -> Tensor:
        size = made.square().mean().sqrt()
        linear.weight /= size
        if linear.bias is not None:
            linear.bias /= size
        return made / size

    linears = [module for module in model.modules() if isinstance(module, nn.Linear) and module is not head]
    hooks = [linear.register_forward_hook(settle) for linear in linears]
    model(input_ids=tokens)
    for hook in hooks:
        hook.remove()
    logits = model(input_ids=tokens).logits
    if getattr(model.config, "final_logit_softcapping", None) is None:
        _set(last[0], last[1] * (SPREAD / logits.std()))


def _set(norm: Any, scale: Tensor) -> None:
    norm.weight.copy_(scale - 1 if type(norm).__name__ in _FROM_ONE else scale)
