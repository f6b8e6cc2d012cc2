"""How work grows with what it is given."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def growth(work: Callable[[T], object], small: T, large: T, tries: int = 12) -> float:
    """How many times the processor time of `small` the work takes for `large`: the least of several tries of
    each, in turn, until that is about as much as it should be for twice the size."""
    least = [float("inf"), float("inf")]
    collecting = gc.isenabled()
    gc.disable()
    try:
        for _ in range(tries):
            for k, given in enumerate((small, large)):
                begun = time.thread_time()
                work(given)
                least[k] = min(least[k], time.thread_time() - begun)
            if least[1] < 2.4 * least[0]:
                break
    finally:
        if collecting:
            gc.enable()
    return least[1] / least[0]
