"""Parallel work with results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tinsmith.system.cores import usable_cores

T = TypeVar("T")


def in_order(tasks: Iterable[Callable[[], T]], threads: int = 0) -> Iterator[T]:
    """The tasks' results in order, computed ahead by threads; for functions that release Python's lock.

    threads: 0 for one a usable core. At most twice as many results wait, so that a slow reader bounds the
    memory. A task's error is raised in place of its result; tasks not yet started are cancelled.
    """
    from concurrent.futures import Future, ThreadPoolExecutor

    count = threads or usable_cores()
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(count) as pool:
        try:
            for task in tasks:
                waiting.append(pool.submit(task))
                if len(waiting) > 2 * count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
