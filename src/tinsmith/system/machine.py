"""The machine's peak rates: bytes read from memory, and int8 operations a second."""

from __future__ import annotations

import mmap
import platform
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from tinsmith import _core
from tinsmith.system.cores import processors

_BYTES = 512 << 20  # far more than any cache, so that every pass reads memory
_PASSES = 5
_INT8_STEPS = 2_000_000

T = TypeVar("T")


class Machine:
    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _BYTES)
        page = bytes(range(256)) * 4096
        for _ in range(_BYTES // len(page)):
            self._memory.write(page)  # unwritten pages share one page of zeros

    def measure(self, threads: int) -> dict[str, float]:
        """read_gb_s: 1e9 bytes a second. int8_gops: 1e9 operations a second; a multiply-add counts as two. Both
        are the best of several passes."""
        read = max(self._read(threads) for _ in range(_PASSES))
        int8 = max(_int8(threads) for _ in range(_PASSES))
        return {"read_gb_s": read, "int8_gops": int8}

    def _read(self, threads: int) -> float:
        part = _BYTES // threads // 4096 * 4096
        with memoryview(self._memory) as whole:
            parts = [whole[k * part : (k + 1) * part] for k in range(threads)]
            times = _at_once(threads, lambda k: _core.measure_read(parts[k]))
            for view in parts:
                view.release()
        return part * threads / (max(end for _, end in times) - min(begin for begin, _ in times))


def _int8(threads: int) -> float:
    times = _at_once(threads, lambda k: _core.measure_int8(_INT8_STEPS))
    elapsed = max(end for _, end, _ in times) - min(begin for begin, _, _ in times)
    return 2 * sum(count for *_, count in times) / elapsed


def _at_once(threads: int, work: Callable[[int], T]) -> list[T]:
    """work(0) … work(threads - 1), started together."""
    barrier = threading.Barrier(threads)

    def one(k: int) -> T:
        barrier.wait()
        return work(k)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, range(threads)))


def describe() -> dict[str, Any]:
    return {"cpu": cpu(), "cores": processors(), "system": f"{platform.system()} {platform.machine()}"}


def cpu() -> str:
    """The processor's name, as far as the system reports it."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text("utf-8", "replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model"):
                return value.strip()
    return platform.processor() or platform.machine()
