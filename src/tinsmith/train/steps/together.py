"""Several processes train one model: each takes a part of every batch, and their gradients are added.

`accelerate launch` or `torchrun` starts the processes. Each has the whole model. The first alone writes files
and reports; the others wait for its call to train.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence, Sized
from typing import TYPE_CHECKING, TypeVar

from tinsmith.errors import UnsupportedError
from tinsmith.train.batches.sequences import dealt

if TYPE_CHECKING:
    from torch import nn

Item = TypeVar("Item", bound=Sized)
Value = TypeVar("Value")

# Features of accelerate's config, by the variable that requests them, with their names.
_REFUSED = {
    "ACCELERATE_USE_FSDP": "FSDP",
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "tensor, context or sequence parallelism",
    "ACCELERATE_USE_TP": "tensor parallelism",
}


_joined = False
_called = False


def count() -> int:
    """The number of processes that train together."""
    return int(os.environ["WORLD_SIZE"]) if _joined else 1


def number() -> int:
    """The number of this process; 0 writes."""
    return int(os.environ["RANK"]) if _joined else 0


def join(device: str) -> None:
    """Joins the other processes, if a launcher started several; device: as in a recipe. Raises UnsupportedError
    for features of accelerate's config that are not supported."""
    global _joined
    if "RANK" not in os.environ or os.environ.get("WORLD_SIZE", "1") == "1":
        return
    for key, name in _REFUSED.items():
        if os.environ.get(key, "false").lower() in ("1", "true"):
            raise UnsupportedError(
                f"accelerate's config asks for {name}; several processes train data parallel, each with the "
                "whole model; choose that in the config"
            )
    precision = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if precision != "no":
        raise UnsupportedError(
            f'accelerate\'s config asks for mixed precision "{precision}"; the types follow from the device; '
            'state "no" in the config'
        )
    from accelerate import PartialState

    from tinsmith.train.model import devices

    PartialState(cpu=devices.choose(device).type == "cpu")
    _joined = True


def from_first(value: Value) -> Value:
    """The first process's value, in all of them, so that all decide alike."""
    if count() == 1:
        return value
    from accelerate.utils import broadcast_object_list

    box = [value]
    broadcast_object_list(box, from_process=0)
    return box[0]


def share(batch: Sequence[Item]) -> Sequence[Item]:
    """This process's part of a batch, possibly empty for a batch of fewer items than processes."""
    return batch if count() == 1 else dealt(batch, count())[number()]


def add(parameters: Mapping[str, nn.Parameter], loss: float) -> float:
    """Sums every process's gradients; returns the sum of the losses. A parameter without a gradient in any
    process gets none: the optimizer skips it, as in one process."""
    if count() == 1:
        return loss
    import torch

    values = list(parameters.values())
    own = [torch.zeros_like(value) if value.grad is None else value.grad for value in values]
    more = own[0].new_tensor([loss, *(value.grad is not None for value in values)])
    every = torch.cat([*(gradient.flatten() for gradient in own), more])
    torch.distributed.all_reduce(every)
    *sums, more = torch.split(every, [*(value.numel() for value in values), len(more)])
    total, *present = more.tolist()
    for value, gradient, has in zip(values, sums, present, strict=True):
        value.grad = gradient.view_as(value) if has else None
    return float(total)


def call() -> None:
    """From the first process: calls the others to train."""
    global _called
    _called = True
    from_first(True)


def called() -> bool:
    """In another process: waits for the call; False if the first one has ended without it."""
    return bool(from_first(None))


def leave() -> None:
    """Ends `join`, and the others' waiting."""
    global _joined
    if not _joined:
        return
    if number() == 0 and not _called:
        from_first(None)
    from accelerate import PartialState

    PartialState().destroy_process_group()
    _joined = False
