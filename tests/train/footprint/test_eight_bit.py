"""AdamW with moments of 8 bits beside torch's."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tinsmith.train.footprint.eight_bit import BLOCK, AdamW8, load, store

BLOCKS = 10


def test_a_moment_is_kept_to_a_few_percent_of_what_matters() -> None:
    torch.manual_seed(1)
    values = torch.randn(BLOCKS, BLOCK) * 10 ** torch.empty(BLOCKS, BLOCK).uniform_(-4, 0)
    for name, kind, given in (("mean", torch.int8, values), ("square", torch.uint8, values.square())):
        state = {name: torch.zeros(BLOCKS, BLOCK, dtype=kind), f"{name}_scale": torch.zeros(BLOCKS, 1)}
        for part in (slice(0, 4), slice(4, BLOCKS)):  # as the optimizer has it
            store(state, name, part, given[part].clone())
        found = load(state, name, slice(0, BLOCKS))
        assert bool((found.sign() * given >= 0).all())
        large = given.abs() > 1e-2 * given.abs().max()
        torch.testing.assert_close(found[large], given[large], rtol=0.15, atol=0)
        assert abs(float((found / given)[large].mean()) - 1) < 0.01
        assert bool(found.all())  # nothing has become 0
    store(state, "square", slice(0, BLOCKS), torch.zeros(BLOCKS, BLOCK))
    assert not load(state, "square", slice(0, BLOCKS)).any()


def test_steps_are_about_those_of_floats() -> None:
    torch.manual_seed(2)
    inputs, wanted = torch.randn(256, 97), torch.randn(97, 65)
    targets, ends = inputs @ wanted, []
    for kind in (torch.optim.AdamW, AdamW8):
        weights = nn.Parameter(torch.zeros(97, 65))  # the last block is not whole
        bias = nn.Parameter(torch.zeros(65))
        optimizer = kind([weights, bias], lr=0.03, betas=(0.9, 0.99), weight_decay=0.01)  # type: ignore[arg-type]
        for _ in range(60):
            loss = (inputs @ weights + bias - targets).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        ends.append(float(loss))
    assert ends[0] < 0.2 * float(targets.square().mean())
    assert abs(ends[1] - ends[0]) < 0.05 * ends[0]
    state = optimizer.state[weights]
    assert sum(one.numel() * one.element_size() for one in state.values()) < 2.1 * weights.numel()
    assert optimizer.state[bias]["mean"].dtype == torch.float32


class OneDevice(TorchDispatchMode):
    """Refuses what a GPU refuses: an operation on tensors of several devices, but for single numbers."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor) and one.dim()]
        assert len({one.device for one in given}) < 2, func
        return func(*args, **(kwargs or {}))


def test_a_step_stays_on_the_parameters_device() -> None:
    weights = nn.Parameter(torch.empty(97, 65, device="meta"))
    weights.grad = torch.empty_like(weights)
    optimizer = AdamW8([weights], lr=0.03, betas=(0.9, 0.99), weight_decay=0.01)
    with OneDevice():
        optimizer.step()
