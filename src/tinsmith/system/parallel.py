"""Work for all cores, its results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tinsmith.system.cores import usable_cores

T = TypeVar("T")


def in_order(tasks: Iterable[Callable[[], T]], threads: int = 0) -> Iterator[T]:
    """The tasks' results in their order, computed ahead by threads: work for functions that let go of Python's
    lock.

    threads: 0 for one a core that this process may use. At most twice as many results wait to be taken, so that
    a slow reader bounds the memory. A task's error comes where its result would; what was not begun then never
    is.
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
