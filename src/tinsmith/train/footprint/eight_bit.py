"""AdamW with moments in 8 bits: a quarter of their memory (Dettmers et al., arXiv 2110.02861).

A block of 256 values has its largest magnitude as a float32 scale. A value is stored as the fourth root of its
share of that: moments span many powers of ten, and the root gives each of them steps, down to 4e-9 of the
largest. Rounding is stochastic, with torch's generator; otherwise a moment that decays by 1 % would never
change. Small values never become 0, which would be a denominator.

torchao's 8-bit optimizer compiles itself first, which needs a compiler, and its states are no plain tensors
that a checkpoint could store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

BLOCK = 256
_SMALL = 4096  # parameters with fewer values, norms and biases, keep float32 moments
_AT_ONCE = 512  # blocks unpacked at a time, so that they stay in the processor's cache


class AdamW8(torch.optim.Optimizer):
    """As torch's AdamW, to about the rounding of its moments."""

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, betas: tuple[float, float], weight_decay: float
    ) -> None:
        super().__init__(parameters, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "eps": 1e-8})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)

    def _update(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        state = self.state[parameter] or _new_state(parameter.numel(), parameter.device)
        self.state[parameter] = state
        state["step"] += 1
        assert parameter.grad is not None
        values, gradient = parameter.data.view(-1), parameter.grad.reshape(-1)
        for first in range(0, len(state["mean"]), _AT_ONCE):
            blocks, part = slice(first, first + _AT_ONCE), slice(first * BLOCK, (first + _AT_ONCE) * BLOCK)
            mean, square = (load(state, name, blocks) for name in ("mean", "square"))
            _adamw(values[part], gradient[part], mean, square, float(state["step"]), group)
            store(state, "mean", blocks, mean)
            store(state, "square", blocks, square)


def _adamw(
    values: Tensor, gradient: Tensor, mean: Tensor, square: Tensor, step: float, group: dict[str, Any]
) -> None:
    """Changes values [count], and mean and square [blocks, BLOCK], of which the last block may have more."""
    (first, second), rate = group["betas"], group["lr"]
    mean, square = mean.view(-1)[: len(values)], square.view(-1)[: len(values)]
    mean.lerp_(gradient, 1 - first)
    square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
    below = (square / (1 - second**step)).sqrt_().add_(group["eps"])
    values.mul_(1 - rate * group["weight_decay"]).addcdiv_(mean, below, value=-rate / (1 - first**step))


def _new_state(count: int, device: torch.device) -> dict[str, Tensor]:
    """Of each moment codes [blocks, BLOCK] and scales [blocks, 1]; without scales where it stays float32."""
    state, blocks = {"step": torch.zeros(())}, -(-count // BLOCK)
    for name, kind in (("mean", torch.int8), ("square", torch.uint8)):
        is_small = count < _SMALL
        state[name] = torch.zeros(blocks, BLOCK, dtype=torch.float32 if is_small else kind, device=device)
        if not is_small:
            state[f"{name}_scale"] = torch.zeros(blocks, 1, device=device)
    return state


def load(state: dict[str, Tensor], name: str, blocks: slice) -> Tensor:
    """Some blocks of a moment, float32."""
    codes = state[name][blocks]
    if codes.dtype == torch.float32:
        return codes.clone()
    shares = codes.float().div_(torch.iinfo(codes.dtype).max)
    cubes = shares.square().mul_(shares)  # the fourth power with its sign: that of the cube
    return cubes.mul_(shares.abs_()).mul_(state[f"{name}_scale"][blocks])


def store(state: dict[str, Tensor], name: str, blocks: slice, values: Tensor) -> None:
    """Rounds and writes some blocks of a moment."""
    codes = state[name][blocks]
    if codes.dtype == torch.float32:
        codes.copy_(values)
        return
    most, steps = torch.iinfo(codes.dtype).max, values.abs()
    scales = state[f"{name}_scale"][blocks]
    torch.amax(steps, 1, keepdim=True, out=scales)
    steps.div_(scales.clamp(min=1e-38)).sqrt_().sqrt_().mul_(most)
    # One draw for all blocks: rounding stays unbiased, and more draws would cost more than all the rest. On the
    # CPU, so that the numbers are the same everywhere.
    steps.add_(torch.rand(BLOCK).to(steps.device)).floor_().clamp_(1, most)
    codes.copy_(steps.mul_(values.sign_()))
