"""A process forked off has none of the threads of its parent's pools: it computes alone, with the same bits,
and it ends."""

from __future__ import annotations

import gc
import multiprocessing
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tinsmith import _core
from tinsmith.runtime import Model
from tinsmith.system.cores import usable_cores

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork"),
    pytest.mark.filterwarnings(
        "ignore:This process:DeprecationWarning"
    ),  # fork with threads, which is the point
]
PROMPT = "the thing is in the"
HUNG = 60.0  # seconds; what does not hang takes a fraction of one


def in_child(work: Callable[[Any], None]) -> Any:
    """What `work` puts in a queue, in a process forked off that ends as processes do."""
    context = multiprocessing.get_context("fork")
    answer = context.SimpleQueue()
    child = context.Process(target=work, args=(answer,))
    child.start()
    child.join(HUNG)
    hung = child.is_alive()
    if hung:
        child.kill()
        child.join()
    assert not hung, "the child hung"
    assert child.exitcode == 0
    return answer.get()


@pytest.fixture(params=[0.0, 0.05], ids=["spinning", "asleep"])
def used(request: pytest.FixtureRequest, model: Model) -> Iterator[Model]:
    """A model whose pool's threads have just worked, or have gone to sleep."""
    if usable_cores() < 2:
        pytest.skip("this processor does not run two threads")
    model.generate(PROMPT, max_tokens=2, constraint=None)
    time.sleep(request.param)
    yield model


def test_a_child_goes_on_with_the_same_bits(used: Model) -> None:
    def work(answer: Any) -> None:
        answer.put([used.generate(PROMPT, max_tokens=12, constraint=None).token_ids for _ in range(3)])

    assert in_child(work) == [used.generate(PROMPT, max_tokens=12, constraint=None).token_ids] * 3


def test_a_child_releases_what_its_parent_made(used: Model) -> None:
    sessions = [_core.Session(used.core, context=64, threads=2), _core.Batch(used.core, threads=2)]

    def work(answer: Any) -> None:
        sessions.clear()
        gc.collect()
        answer.put("released")

    assert in_child(work) == "released"


PROGRAM = """
import os, sys, time, tinsmith
model = tinsmith.load(sys.argv[1], threads=2)
model.generate("the thing", max_tokens=2, constraint=None)
time.sleep(0.05)  # the pool's threads sleep
if not os.fork():
    sys.exit(0)  # the interpreter releases the model
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def test_a_forked_interpreter_exits(image: Callable[[str], memoryview], tmp_path: Path) -> None:
    path = tmp_path / "tiny.tin"
    path.write_bytes(image("Q8_0"))
    subprocess.run([sys.executable, "-c", PROGRAM, path], check=True, timeout=HUNG)


def test_a_child_has_pools_of_its_own_and_so_has_its_child(used: Model) -> None:
    logits = bytes(used.logits([5, 6, 7]))

    def inner(answer: Any) -> None:
        answer.put(bytes(used.logits([5, 6, 7])))

    def work(answer: Any) -> None:
        answer.put([bytes(used.logits([5, 6, 7])), in_child(inner)])

    assert in_child(work) == [logits, logits]


def test_a_child_ends_though_another_thread_was_computing(used: Model) -> None:
    stop = threading.Event()

    def compute() -> None:
        while not stop.is_set():
            used.logits(list(range(200)))

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        for _ in range(5):
            assert in_child(lambda answer: answer.put("ended")) == "ended"
    finally:
        stop.set()
        thread.join()
