"""The float model in torch, run from any of its layers on: what is before a changed tensor is computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor as Floats
from torch import nn

from tinsmith.errors import UnsupportedError
from tinsmith.models import family
from tinsmith.models.family import TensorName
from tinsmith.spec import Spec, Tensor
from tinsmith.train.model import network
from tinsmith.train.tensors import to_folder

_IN_A_TUPLE = {"falcon_h1"}  # families whose layers transformers lets give their states in a tuple
_ROWS = 64  # of logits that are compared at once
_BATCH = 1024  # tokens that go through the network at once


class FloatModel:
    """A spec's model, its weights float32.

    names: its matrices by role. Raises UnsupportedError for a family whose matrices transformers holds in
    another shape: a mixture of experts.
    """

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.model = network.base_model(spec, "eager")
        self.trunk: nn.Module = self.model.base_model
        self.layers: list[nn.Module] = list(self.trunk.layers)
        config = self.model.config
        # Layers that read an earlier one's keys and values can't run without it.
        modes = getattr(config, "kv_sharing_modes", ())
        self.latest = modes.index("store") if "reuse" in modes else len(self.layers)
        self.scale = 1 / getattr(config, "logits_scaling", 1)
        self.cap: float | None = getattr(config, "final_logit_softcapping", None)
        held = dict(self.model.named_parameters(remove_duplicate=False))
        self.names: dict[str, TensorName] = {}
        self.parameters: dict[str, nn.Parameter] = {}
        for name in family.names_of(spec):
            if name.all_rows == 1 or not name.hf or name.role not in spec.tensors:
                continue
            if name.hf not in held or tuple(held[name.hf].shape) != name.folder_shape:
                raise UnsupportedError(f"{spec.family}: {name.gguf} can't be measured; take a preset")
            self.names[name.role] = name
            self.parameters[name.role] = held[name.hf]

    @property
    def head(self) -> str:
        """The role of the matrix that makes logits."""
        return "head" if "head" in self.names else "embed"

    def first_layer(self, role: str) -> int:
        """The layer that a run may begin with that a tensor takes part in; as many as there are layers for the
        head's."""
        if role == "head":
            return len(self.layers)
        part = role.split(".")
        return min(int(part[1]), self.latest) if part[0] == "layers" else 0

    def linears(self) -> dict[str, nn.Linear]:
        """By role, the modules of the matrices that multiply what goes through them."""
        modules = {}
        for role, name in self.names.items():
            path, _, part = name.hf.rpartition(".")
            module = self.model.get_submodule(path) if part == "weight" else None
            if isinstance(module, nn.Linear):
                modules[role] = module
        return modules

    @contextmanager
    def replaced(self, tensors: dict[str, Tensor]) -> Iterator[None]:
        """Within, these tensors stand for the roles' own."""
        before = {role: self.parameters[role].data for role in tensors}
        try:
            for role, tensor in tensors.items():
                array = np.ascontiguousarray(to_folder(self.names[role], tensor), dtype=np.float32)
                self.parameters[role].data = torch.from_numpy(array)
            yield
        finally:
            for role, data in before.items():
                self.parameters[role].data = data

    def states(self, tokens: Floats, begin: int = 0, entering: Floats | None = None) -> Floats:
        """The states that the head sees, [windows, size, dim]; from layer `begin` on where its input is
        known."""
        with self._from(begin, entering), network.quiet():
            states: Floats = self.trunk(input_ids=tokens, use_cache=False).last_hidden_state
        return states

    @contextmanager
    def _from(self, begin: int, entering: Floats | None) -> Iterator[None]:
        skipped = self.layers[: begin if entering is not None else 0]
        in_a_tuple = self.spec.family in _IN_A_TUPLE

        def passed_on(hidden: Any, *_: Any, **__: Any) -> Any:
            return (hidden,) if in_a_tuple else hidden

        for layer in skipped:
            layer.forward = passed_on
        if skipped:
            skipped[-1].forward = lambda *_, **__: passed_on(entering)
        try:
            yield
        finally:
            for layer in skipped:
                del layer.forward

    def logprobs(self, states: Floats) -> Iterator[Floats]:
        """Of rows [n, dim] a few at a time: [rows, vocabulary]."""
        head = self.parameters[self.head]
        for begin in range(0, len(states), _ROWS):
            logits = (states[begin : begin + _ROWS] @ head.T).mul_(self.scale)
            if self.cap is not None:
                logits = logits.div_(self.cap).tanh_().mul_(self.cap)
            yield logits.log_softmax(-1)


def divergence(wanted: Floats, given: Floats) -> Floats:
    """KL(wanted || given) of each row of logarithms of probabilities, in a form whose terms are all positive:
    small ones don't drown in rounding. sum p (e^d - 1 - d) with d = log q - log p, as both sum to 1."""
    d = given - wanted
    return (wanted.exp() * (torch.expm1(d) - d)).sum(-1)


class Reference:
    """What the float model predicts on some windows, and what enters each of its layers there.

    advance: called with the windows done so far.
    """

    def __init__(
        self, model: FloatModel, windows: Sequence[Sequence[int]], advance: Callable[[int], None]
    ) -> None:
        self.model = model
        self.batches: list[tuple[Floats, list[Floats], list[Floats]]] = []
        step = max(1, _BATCH // len(windows[0]))
        with torch.inference_mode():
            for begin in range(0, len(windows), step):
                tokens = torch.tensor(windows[begin : begin + step])
                entering: list[Floats] = []
                hooks = [
                    layer.register_forward_pre_hook(lambda _, args, kept=entering: kept.append(args[0]))
                    for layer in model.layers
                ]
                try:
                    states = model.states(tokens)
                finally:
                    for hook in hooks:
                        hook.remove()
                # 4 bytes a token and word of the vocabulary, which every measurement needs.
                logprobs = list(model.logprobs(states.flatten(0, 1)))
                self.batches.append((tokens, [*entering, states], logprobs))
                advance(min(begin + step, len(windows)))

    def divergence(self, tensors: dict[str, Tensor]) -> float:
        """Mean KL divergence of the next token's distribution from the float model's, with these tensors in the
        place of its own; in nats a token."""
        return self._mean(tensors, lambda wanted, given: divergence(wanted, given).double())

    def agreement(self, tensors: dict[str, Tensor]) -> float:
        """The share of positions where the likeliest next token is the float model's."""
        return self._mean(tensors, lambda wanted, given: (wanted.argmax(-1) == given.argmax(-1)).double())

    def _mean(self, tensors: dict[str, Tensor], score: Callable[[Floats, Floats], Floats]) -> float:
        model, total, count = self.model, 0.0, 0
        begin = min((model.first_layer(role) for role in tensors), default=len(model.layers))
        with torch.inference_mode():
            for tokens, entering, logprobs in self.batches:
                with model.replaced(tensors):
                    states = entering[-1]
                    if begin < len(model.layers):
                        states = model.states(tokens, begin, entering[begin])
                    for wanted, given in zip(logprobs, model.logprobs(states.flatten(0, 1)), strict=True):
                        total += score(wanted, given).sum().item()
                        count += len(given)
        return total / count
