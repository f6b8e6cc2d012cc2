"""Fair sharing between clients: the queue itself, and each shared resource of the server."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.serve.served import ASKED, CONTEXT, Running, post, running
from tinsmith.serve.errors import ApiError
from tinsmith.serve.fair_queue import FairQueue, FairThreadPool
from tinsmith.serve.limits import Limits

KEYS = ["a-key-of-some-length", "another-key-of-some-length"]
LONG = {"model": "tiny", "messages": ASKED, "temperature": 1, "logit_bias": {"0": -100, "2": -100}}
BODY = {"model": "tiny", "messages": ASKED, "max_tokens": 2}
SLOW = {"properties": {str(k): {"pattern": "(a|b|ab){1,40}c{2,90}"} for k in range(400)}}


def test_client_with_the_fewest_slots_comes_next() -> None:
    fair: FairQueue[str] = FairQueue(4)
    for scope, items in (("a", "123456"), ("b", "12"), ("c", "1")):
        for item in items:
            fair.put(scope, scope + item)
    assert [fair.next() for _ in range(5)] == ["a1", "b1", "c1", "a2", None]
    fair.release("a")
    assert fair.next() == "b2"  # a and b have one each, and a got its last place later
    fair.release("c")
    fair.release("b")
    assert [fair.next() for _ in range(3)] == ["a3", "a4", None]
    assert len(fair) == 2


def test_client_has_its_own_maximum() -> None:
    fair: FairQueue[str] = FairQueue(3, per_client=2)
    for item in "1234":
        fair.put("a", item)
    assert [fair.next() for _ in range(3)] == ["1", "2", None]
    fair.put("b", "5")
    assert fair.next() == "5"
    assert fair.remove("a", "3") and not fair.remove("a", "3")
    fair.release("a")
    assert fair.next() == "4"


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["add", "next", "leave", "drop"])), max_size=60)
)
def test_slots_are_never_exceeded_or_lost(calls: list[tuple[str, str]]) -> None:
    fair: FairQueue[tuple[str, int]] = FairQueue(3, per_client=2)
    waiting: list[tuple[str, int]] = []
    taken: list[str] = []
    for number, (scope, what) in enumerate(calls):
        if what == "add":
            fair.put(scope, (scope, number))
            waiting.append((scope, number))
        elif what == "next":
            item = fair.next()
            may = [one for one in waiting if taken.count(one[0]) < 2]
            if len(taken) == 3 or not may:
                assert item is None
            else:
                assert item is not None
                assert taken.count(item[0]) == min(taken.count(one[0]) for one in may)
                waiting.remove(item)
                taken.append(item[0])
        elif what == "leave" and scope in taken:
            fair.release(scope)
            taken.remove(scope)
        elif what == "drop" and waiting:
            assert fair.remove(*(waiting[0][0], waiting[0]))
            waiting.pop(0)
        assert (len(fair), fair.used) == (len(waiting), len(taken))


def test_pool_admits_other_clients_first() -> None:
    order: list[str] = []

    async def all_of_them() -> None:
        gate = FairThreadPool(1, max_waiting=5, what="tests")
        await asyncio.gather(*(gate.run(scope, partial(order.append, scope)) for scope in "aaaab"))
        while gate.waiting:
            await asyncio.sleep(0)
        gate.close()

    asyncio.run(all_of_them())
    assert order == ["a", "b", "a", "a", "a"]


def test_cancelled_task_holds_no_slot() -> None:
    async def all_of_them() -> None:
        gate = FairThreadPool(1, max_waiting=5, what="tests")
        await gate._acquire("a")
        tasks = [asyncio.create_task(gate._acquire(scope)) for scope in "bcd"]
        await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.sleep(0)
        assert gate.waiting == 3
        gate._release("a")
        tasks[1].cancel()  # in the moment between its place and its turn
        await asyncio.wait_for(tasks[2], 5)
        assert gate.waiting == 1

    asyncio.run(all_of_them())


def test_too_many_waiting_tasks_of_a_client_are_rejected() -> None:
    async def all_of_them() -> None:
        gate = FairThreadPool(1, max_waiting=2, what="tests")
        await gate._acquire("a")
        tasks = [asyncio.create_task(gate._acquire(scope)) for scope in "aab"]
        await asyncio.sleep(0)
        with pytest.raises(ApiError, match="2 tests of this client are waiting") as refused:
            await gate._acquire("a")
        assert (refused.value.status, refused.value.retry_after) == (429, 1)
        for task in tasks:
            task.cancel()

    asyncio.run(all_of_them())


def test_thread_keeps_its_slot_until_it_ends() -> None:
    async def all_of_them() -> None:
        threads = FairThreadPool(1, max_waiting=2, what="tests")
        go, begun = threading.Event(), threading.Event()

        def work() -> None:
            begun.set()
            go.wait(10)

        first = asyncio.create_task(threads.run("a", work))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        first.cancel()
        second = asyncio.create_task(threads.run("b", lambda: 5))
        await asyncio.sleep(0.05)
        assert not second.done() and threads.waiting == 2
        go.set()
        assert await asyncio.wait_for(second, 10) == 5
        threads.close()

    asyncio.run(all_of_them())


@pytest.fixture(scope="module")
def shared(files: list[Path]) -> Iterator[Running]:
    limits = Limits(in_flight=12, queue=40, compile_seconds=1)
    with running(files[:1], limits, slots=2, context=CONTEXT, keys=KEYS) as made:
        yield made


def ask(server: Running, path: str, body: Any, key: str = KEYS[0]) -> httpx.Response:
    return httpx.post(server.url + path, json=body, headers={"x-api-key": key}, timeout=60)


def until(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@contextmanager
def waiting(server: Running, asked: Sequence[tuple[str, Any]]) -> Iterator[None]:
    """Requests of the first key, whose clients wait within the block and then leave."""
    with ExitStack() as connections:
        for path, body in asked:
            connection = connections.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            connection.sendall(post(path, body, f"x-api-key: {KEYS[0]}"))
        yield
    until(lambda: not server.state._in_flight)


def test_free_slot_goes_to_the_key_without_one(shared: Running) -> None:
    """Ten answers of one key wait for two places; another key's comes before them."""
    assert shared.idle()
    worker = shared.state.models[0].worker
    with waiting(shared, [("/v1/chat/completions", {**LONG, "max_tokens": 3000})] * 10):
        until(lambda: len(worker.in_flight) == 10)
        assert ask(shared, "/v1/chat/completions", BODY, KEYS[1]).status_code == 200
        assert len(worker.in_flight) >= 7
    assert shared.idle()


def test_schemas_of_one_key_do_not_block_anothers(shared: Running) -> None:
    gate = shared.state.compiler.threads
    with waiting(shared, [("/tinsmith/check", {"schema": {**SLOW, "title": str(k)}}) for k in range(6)]):
        until(lambda: gate.waiting == 6)
        assert ask(shared, "/tinsmith/check", {"schema": {"const": 5}}, KEYS[1]).status_code == 200
        assert gate.waiting >= 3  # of the first key's
    until(lambda: gate.waiting == 0)


def test_embeddings_and_masks_count_as_answers(shared: Running) -> None:
    """And those of several keys are computed in turn."""
    assert shared.idle()
    many = {"model": "tiny", "input": [[5] * 4000] * 40, "tinsmith": {"pooling": "mean"}}
    masked = {"chat": {**BODY, "response_format": {"type": "json_object"}}, "tokens": []}
    few = {"model": "tiny", "input": "in the"}
    asked = [("/v1/embeddings", many)] * 11 + [("/tinsmith/masked", masked)]
    with waiting(shared, asked[:11]):
        until(lambda: shared.state._in_flight.total() == 11)
        connection = socket.create_connection(("127.0.0.1", shared.port))
        connection.sendall(post(*asked[11], f"x-api-key: {KEYS[0]}"))
        until(lambda: shared.state._in_flight.total() == 12)
        for path, body in (("/v1/embeddings", few), *asked[11:], ("/v1/chat/completions", BODY)):
            assert ask(shared, path, body).status_code == 429
            assert ask(shared, path, body, KEYS[1]).status_code == 200
        assert shared.state._in_flight.total() == 12  # none of the first key's has come to its end
        connection.close()


def test_embeddings_of_several_keys_do_not_mix(shared: Running) -> None:
    """Sessions go from one to the next: none is given on while it is worked with."""
    asked = [{"model": "tiny", "input": [5] * k, "tinsmith": {"pooling": "mean"}} for k in (700, 650)]
    alone = [ask(shared, "/v1/embeddings", body).json()["data"] for body in asked]
    with ThreadPoolExecutor(6) as pool:
        keys = [KEYS[k % 2] for k in range(6)]
        said = list(pool.map(lambda k: ask(shared, "/v1/embeddings", asked[k % 2], keys[k]).json(), range(6)))
    assert [one["data"] for one in said] == alone * 3


def test_impossible_requests_are_permanent_errors(shared: Running) -> None:
    """And not to ask again later."""
    for path, body in (
        ("/v1/completions", {"model": "tiny", "prompt": ["a"] * 13}),
        ("/v1/completions", {"model": "tiny", "prompt": ["a"] * 3, "n": 5}),
    ):
        refused = ask(shared, path, body)
        assert refused.status_code == 400 and "retry-after" not in refused.headers
        assert "a client may have 12 in flight" in refused.json()["error"]["message"]
    with pytest.raises(ApiError, match="room for 42") as raised:
        shared.state.models[0].worker.check_queue(43)
    assert raised.value.status == 400
