"""Work done ahead by threads: in order, bounded, and its errors where the result would be."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tinsmith.system.parallel import in_order


def test_results_come_in_the_tasks_order() -> None:
    def slow_first(k: int) -> int:
        time.sleep(0.02 if k % 4 == 0 else 0)
        return k

    assert list(in_order((partial(slow_first, k) for k in range(40)), threads=4)) == list(range(40))
    assert list(in_order([])) == []


def test_no_more_is_begun_than_a_reader_asks_for() -> None:
    begun: list[int] = []

    def tasks() -> Iterator[Callable[[], int]]:
        for k in range(1000):
            begun.append(k)
            yield partial(int, k)

    results = in_order(tasks(), threads=2)
    assert [next(results), next(results)] == [0, 1]
    assert len(begun) <= 7
    results.close()
    assert threading.active_count() == 1 or all("ThreadPool" not in one.name for one in threading.enumerate())


def test_an_error_comes_in_its_place_and_ends_the_rest() -> None:
    done: list[int] = []

    def task(k: int) -> int:
        done.append(k)
        return 10 // (3 - k)

    results = in_order((partial(task, k) for k in range(100)), threads=1)
    assert [next(results) for _ in range(3)] == [3, 5, 10]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert len(done) < 10
