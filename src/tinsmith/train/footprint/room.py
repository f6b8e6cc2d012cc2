"""The memory of the device that training runs on: what there is, what is held, and what a piece of work
adds."""

from __future__ import annotations

import gc
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from tinsmith.system import memory

# What the C library holds for each byte in use of tensors that it does not map for themselves, as
# measured (benchmarks/packed.py).
_WASTE = 1.2
_MARK = "tinsmith:mark"


@dataclass
class Measure(ABC):
    """Bytes above what was held when it began: at each mark, and the most."""

    levels: list[int] = field(default_factory=list)
    peak: int = 0

    @abstractmethod
    def mark(self, *_: Any) -> None:
        """Notes what is held now."""


class Room(ABC):
    """Bytes, or None where the system does not tell."""

    @abstractmethod
    def total(self) -> int | None:
        """What this process may use at most."""

    @abstractmethod
    def held(self) -> int | None:
        """What this process holds now."""

    @abstractmethod
    def free(self) -> int | None:
        """What it can have beside that."""

    @abstractmethod
    def give_back(self) -> None:
        """Returns what allocators hold and nobody uses."""

    @abstractmethod
    def measured(self) -> Any:
        """A context in which work is measured: a Measure, whose numbers are there when the context ends."""


def of(device: torch.device) -> Room:
    return Card(device) if device.type == "cuda" else Host()


class _HostMeasure(Measure):
    def mark(self, *_: Any) -> None:
        with torch.profiler.record_function(_MARK):
            pass


class Host(Room):
    """The machine's memory, which Apple's GPUs share."""

    def total(self) -> int | None:
        return memory.total()

    def held(self) -> int | None:
        return memory.resident()

    def free(self) -> int | None:
        return memory.available()

    def give_back(self) -> None:
        memory.give_back()

    @contextmanager
    def measured(self) -> Iterator[Measure]:
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler else tells of itself on the terminal
        gc.collect()  # else what an earlier measure left in cycles is taken off where it is collected
        measure = _HostMeasure()
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


class _CardMeasure(Measure):
    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device, self.before = device, torch.cuda.memory_allocated(device)

    def mark(self, *_: Any) -> None:
        self.levels.append(torch.cuda.memory_allocated(self.device) - self.before)


class Card(Room):
    """A CUDA device's memory, as torch's allocator and the driver count it. What the allocator keeps without
    use is free."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def total(self) -> int:
        return torch.cuda.mem_get_info(self.device)[1]

    def held(self) -> int:
        return torch.cuda.memory_allocated(self.device)

    def free(self) -> int:
        unused = torch.cuda.memory_reserved(self.device) - self.held()
        return torch.cuda.mem_get_info(self.device)[0] + unused

    def give_back(self) -> None:
        torch.cuda.empty_cache()

    @contextmanager
    def measured(self) -> Iterator[Measure]:
        torch.cuda.reset_peak_memory_stats(self.device)
        measure = _CardMeasure(self.device)
        yield measure
        measure.peak = torch.cuda.max_memory_allocated(self.device) - measure.before
