"""The memory of the training device: its size, its use, and the bytes that a computation adds."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from tinsmith.system import memory

# Bytes that the C library takes for each byte of small tensors, as measured (benchmarks/packed.py).
_WASTE = 1.2
_MARK = "tinsmith:mark"


@dataclass
class Measure:
    """Bytes above those in use at the start. mark: adds the current bytes to `levels`; peak: the most."""

    mark: Callable[..., None]
    levels: list[int] = field(default_factory=list)
    peak: int = 0


def of(device: torch.device) -> Host:
    return Card(device) if device.type == "cuda" else Host()


class Host:
    """The machine's memory, which Apple's GPUs share, in bytes; None if the system does not report it."""

    def total(self) -> int | None:
        """The most that this process may use."""
        return memory.total()

    def in_use(self) -> int | None:
        """In use by this process."""
        return memory.resident()

    def free(self) -> int | None:
        """Available to this process besides its own."""
        return memory.available()

    def give_back(self) -> None:
        """Returns the allocator's unused memory."""
        memory.give_back()

    @contextmanager
    def measured(self) -> Iterator[Measure]:
        """Measures the block; the numbers are complete after it."""
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # silences the profiler
        gc.collect()  # an earlier measurement's cycles would count as freed in this one

        def mark(*_: Any) -> None:
            with torch.profiler.record_function(_MARK):
                pass

        measure = Measure(mark)
        with torch.autograd.profiler.profile(use_kineto=True, profile_memory=True) as profile:
            yield measure
        results: Any = profile.kineto_results
        now = 0
        for event in sorted(results.events(), key=lambda event: event.start_ns()):
            if event.name() == "[memory]":
                size = event.nbytes()
                now += size if abs(size) >= memory.LARGE else round(_WASTE * size)
                measure.peak = max(measure.peak, now)
            elif event.name() == _MARK:
                measure.levels.append(now)


class Card(Host):
    """A CUDA device's memory, as torch's allocator and the driver count it. Unused memory of the allocator
    counts as free."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def total(self) -> int:
        return torch.cuda.mem_get_info(self.device)[1]

    def in_use(self) -> int:
        return torch.cuda.memory_allocated(self.device)

    def free(self) -> int:
        unused = torch.cuda.memory_reserved(self.device) - self.in_use()
        return torch.cuda.mem_get_info(self.device)[0] + unused

    def give_back(self) -> None:
        torch.cuda.empty_cache()

    @contextmanager
    def measured(self) -> Iterator[Measure]:
        torch.cuda.reset_peak_memory_stats(self.device)
        before = self.in_use()
        measure = Measure(lambda *_: measure.levels.append(self.in_use() - before))
        yield measure
        measure.peak = torch.cuda.max_memory_allocated(self.device) - before
