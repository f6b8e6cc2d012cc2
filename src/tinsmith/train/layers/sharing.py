"""Work on threads besides torch's own: C functions on tensors' memory, and passes through a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor

from tinsmith.spec import Buffer


def shared_out(count: int, threads: int, work: Callable[[int, int], None]) -> None:
    """Calls work(first, end) for all of `count`, on that many threads."""
    cuts = [count * k // threads for k in range(threads + 1)]
    others = [_helpers().submit(work, *cut) for cut in pairwise(cuts[1:])]
    work(*cuts[:2])
    for other in others:
        other.result()


@cache
def _helpers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="tinsmith")


Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(items: Sequence[Item], work: Callable[[Item], Result]) -> list[Result]:
    """The results of `work` for each item, in order; each item has a thread, with an equal part of torch's
    threads. Torch's threads wait for each other after every operation; these do not."""
    whole = torch.get_num_threads()

    def alone(item: Item) -> Result:
        torch.set_num_threads(max(1, whole // len(items)))  # of the calling thread
        return work(item)

    others = [_passes().submit(alone, item) for item in items[1:]]
    try:
        first = alone(items[0])
    finally:
        torch.set_num_threads(whole)
        wait(others)
    return [first, *(other.result() for other in others)]


@cache
def _passes() -> ThreadPoolExecutor:
    """Kept apart from the helper threads, for which a pass may wait. A thread that first asks torch for its
    number of threads gets any thread's latest setting, so it asks before it sets its own."""
    return ThreadPoolExecutor(thread_name_prefix="tinsmith-pass", initializer=torch.get_num_threads)


def buffer(tensor: Tensor) -> Buffer:
    """The tensor's memory; numpy has no bfloat16."""
    tensor = tensor.detach()
    array: Any = (tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return memoryview(array)
