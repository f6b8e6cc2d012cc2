"""A frozen base behind a trained prefix: keys and values before every conversation, and initial states of
recurrent layers (Li and Liang, arXiv 2101.00190).

transformers takes them as a cache of earlier tokens. The first token's position is the prefix's length, and a
layer with a sliding window sees the part of the prefix within its window. So a prefix equals the state of a
session after that many tokens in every respect.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tinsmith.spec import Spec
from tinsmith.train.adapters.prefix_bin import CONVOLVED, KEYS, RECURRENT, VALUES
from tinsmith.train.batches.packing import Packing, pad
from tinsmith.train.batches.sequences import TokenSequence
from tinsmith.train.model import network
from tinsmith.train.model.network import Network


class States:
    """The interface that transformers' layers expect of a cache.

    states: by "<layer>.<kind>", without the batch, length: tokens that they stand for. Empty, it records those
    of its input row; else rows begin with them.
    """

    def __init__(self, states: dict[str, Tensor] | None = None, length: int = 0) -> None:
        self.states = {} if states is None else states
        self.records, self.length = states is None, length

    def _earlier(self, layer: int, kind: str, like: Tensor) -> Tensor:
        return self.states[f"{layer}.{kind}"].to(like.dtype).expand(len(like), *(-1,) * (like.ndim - 1))

    def update(self, keys: Tensor, values: Tensor, layer: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """[rows, heads, row, width] of a layer's own tokens to those that its attention sees."""
        if self.records:
            self.states |= {f"{layer}.{KEYS}": keys[0], f"{layer}.{VALUES}": values[0]}
            return keys, values
        before = self._earlier(layer, KEYS, keys), self._earlier(layer, VALUES, values)
        return torch.cat([before[0], keys], 2), torch.cat([before[1], values], 2)

    def update_conv_state(self, inputs: Tensor, layer: int, conv_kernel_size: int = 0, **_: Any) -> Tensor:
        """[rows, channels, row] to the same with the tokens before it that a convolution reaches."""
        reach = conv_kernel_size - 1
        if self.records:
            self.states[f"{layer}.{CONVOLVED}"] = functional.pad(inputs[0], (reach, 0))[:, -reach:]
            return inputs
        return torch.cat([self._earlier(layer, CONVOLVED, inputs), inputs], -1)

    def update_recurrent_state(self, state: Tensor, layer_idx: int, **_: Any) -> Tensor:
        if self.records:
            self.states[f"{layer_idx}.{RECURRENT}"] = state[0]
        return state

    def get_recurrent_state(self, layer_idx: int, **_: Any) -> Tensor | None:
        state = self.states.get(f"{layer_idx}.{RECURRENT}")
        return None if self.records or state is None else state.expand(self.rows, *state.shape)

    def get_conv_state(self, layer_idx: int, **_: Any) -> Tensor | None:
        """For single tokens after others, which training does not have."""
        return None

    def get_recurrent_states_to_keep(self, layer_idx: int | None = None) -> int:
        return 0  # of the tokens before the last

    def is_recording_past(self, layer: int) -> bool:
        return True  # a row of one token is computed like any other

    def has_previous_state(self, layer: int | None = None) -> bool:
        return not self.records

    def get_seq_length(self, layer: int = 0) -> int:
        return self.length

    def get_mask_sizes(self, query_length: int, layer: int) -> tuple[int, int]:
        return self.length + query_length, 0

    is_compileable = False
    is_sliding: Sequence[bool] = ()
    rows = 1


@dataclass(frozen=True)
class Prefixed(Network):
    """prefix: the trained states, as in States; length: tokens that they stand for."""

    prefix: dict[str, nn.Parameter]
    length: int

    def pack(self, batch: Sequence[TokenSequence], shared: int) -> Packing:
        return pad(batch).to(self.device)

    def answer_states(self, packing: Packing) -> Tensor:
        states = States(dict(self.prefix), self.length)
        states.rows = len(packing.tokens)
        hidden = _run(self.trunk, packing, states)
        labelled: Tensor = hidden.flatten(0, 1).index_select(0, packing.labelled)
        return labelled

    def parameters(self) -> dict[str, nn.Parameter]:
        return self.prefix


def build(spec: Spec, matrices: torch.dtype, device: torch.device, tokens: Sequence[int]) -> Prefixed:
    """The base with the prefix that some tokens leave, so that training starts from a conversation."""
    base = network.base_model(spec).to(device)
    head = base.get_output_embeddings()
    for module in network.linears_of(base).values():
        module.weight.data = module.weight.data.to(matrices)
        module.forward = partial(_linear, module)  # type: ignore[method-assign]
    begun = States()
    packing = pad([TokenSequence(tuple(tokens[:1]), (*tokens[1:], tokens[0]))]).to(device)
    with torch.no_grad():
        _run(base.base_model, packing, begun)
    prefix = {name: nn.Parameter(state.float().contiguous()) for name, state in begun.states.items()}
    scale, cap = network.after_head(base.config)
    return Prefixed(
        model=base,
        trunk=base.base_model,
        head=head.weight.detach().to(matrices),
        linears={},
        packs=False,
        scale=scale,
        cap=cap,
        matrices=matrices,
        prefix=prefix,
        length=len(tokens),
    )


def _linear(module: nn.Linear, x: Tensor) -> Tensor:
    bias = None if module.bias is None else module.bias.to(module.weight.dtype)
    return functional.linear(x.to(module.weight.dtype), module.weight, bias).to(x.dtype)


def _run(trunk: nn.Module, packing: Packing, states: States) -> Tensor:
    """The last layer's states, [rows, width, dim]."""
    # transformers before 5.24 calls it past_key_values.
    name = "cache" if "cache" in inspect.signature(trunk.forward).parameters else "past_key_values"
    given: dict[str, Any] = {name: states, "use_cache": False, "packing": packing}
    ran = trunk(input_ids=packing.tokens, position_ids=packing.positions + states.length, **given)
    hidden: Tensor = ran.last_hidden_state
    return hidden
