"""Work of the core's C functions on tensors' memory, shared out to threads beside torch's own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from tinsmith.spec import Buffer


def shared_out(count: int, threads: int, work: Callable[[int, int], None]) -> None:
    """Calls work(first, end) for all of `count`, by so many threads."""
    cuts = [count * k // threads for k in range(threads + 1)]
    others = [_helpers().submit(work, *cut) for cut in pairwise(cuts[1:])]
    work(*cuts[:2])
    for other in others:
        other.result()


@cache
def _helpers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="tinsmith")


def buffer(tensor: Tensor) -> Buffer:
    """The tensor's memory; numpy knows no bfloat16."""
    tensor = tensor.detach()
    array: Any = (tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return memoryview(array)
