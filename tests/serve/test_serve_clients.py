"""Clients that never read, or slowly, that leave, or send several requests at once: the others are served."""

from __future__ import annotations

import json
import re
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.serve.served import ASKED, CONTEXT, Running, post, raw, running
from tinsmith.serve import server
from tinsmith.serve.limits import Limits

KEY = "a-key-of-some-length"
MOST = 40  # connections; a fourth of them from one address
LONG = {"model": "tiny", "messages": ASKED, "temperature": 1, "logit_bias": {"0": -100, "2": -100}}
PAGE = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
LARGE = post("/tokenize", {"content": "a" * 900_000}, f"x-api-key: {KEY}")  # an answer of megabytes
STREAM = post("/v1/chat/completions", {**LONG, "stream": True, "logprobs": True}, f"x-api-key: {KEY}")


@pytest.fixture(scope="module")
def hurried(files: list[Path]) -> Iterator[Running]:
    limits = Limits(read_seconds=1, write_seconds=1, connections=MOST)
    with running(files[:1], limits, slots=8, context=CONTEXT, keys=[KEY]) as made:
        yield made


def fine(server: Running) -> bool:
    """Whether another client is answered."""
    headers = {"x-api-key": KEY, "connection": "close"}
    body = {"model": "tiny", "messages": ASKED, "max_tokens": 1}
    healthy = httpx.get(f"{server.url}/health", headers={"connection": "close"}, timeout=20)
    said = httpx.post(f"{server.url}/v1/chat/completions", json=body, headers=headers, timeout=20)
    return healthy.status_code == said.status_code == 200


@contextmanager
def connected(server: Running, count: int = 1) -> Iterator[list[socket.socket]]:
    """Clients that have room for little of an answer."""
    with ExitStack() as stack:
        clients = []
        for _ in range(count):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.settimeout(20)
            client.connect(("127.0.0.1", server.port))
            clients.append(client)
        yield clients


def send(client: socket.socket, data: bytes) -> None:
    """As much as goes."""
    client.setblocking(False)
    with suppress(BlockingIOError):
        client.send(data)
    client.settimeout(20)


def dropped(client: socket.socket) -> bool:
    """Whether the server has ended the connection: what is on its way is read first."""
    try:
        while client.recv(1 << 20):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def gone(server: Running, seconds: float = 15) -> bool:
    """Whether the server comes to hold no connection."""
    deadline = time.monotonic() + seconds
    while server.connections and time.monotonic() < deadline:
        time.sleep(0.02)
    return not server.connections


@pytest.mark.parametrize(
    "asked",
    [PAGE * 300, LARGE, STREAM, LARGE * 3, PAGE * 300 + b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n"],
    ids=["open", "whole", "streamed", "several", "refused"],
)
def test_client_that_never_reads_is_dropped(hurried: Running, asked: bytes) -> None:
    with connected(hurried, 5) as clients:
        for client in clients:
            send(client, asked)
        assert fine(hurried)
        assert gone(hurried)
        assert fine(hurried)
    assert hurried.idle()


def test_internal_error_does_not_wait_for_a_reader(hurried: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """uvicorn answers 500 by itself, and waits until it is taken."""
    from tinsmith.serve import app

    def broken(*_: object) -> None:
        raise ValueError("a fault of ours")

    with connected(hurried, 3) as clients:
        for client in clients:
            send(client, PAGE * 300)
        time.sleep(0.2)
        monkeypatch.setattr(app, "Request", broken)
        assert gone(hurried)
        monkeypatch.undo()
    assert fine(hurried)


def test_client_that_reads_a_byte_per_second_is_dropped(hurried: Running) -> None:
    with connected(hurried, 2) as clients:
        for client in clients:
            send(client, PAGE * 300)
        deadline = time.monotonic() + 30
        while hurried.connections and time.monotonic() < deadline:
            for client in clients:
                with suppress(OSError):
                    client.recv(1)
            time.sleep(0.5)
        assert not hurried.connections
    assert fine(hurried)


def test_slow_steady_client_gets_its_answer(hurried: Running) -> None:
    """It takes longer than the time in which a client must take something."""
    with connected(hurried) as (client,):
        client.sendall(LARGE)
        said = b""
        begun = time.monotonic()
        while piece := client.recv(60_000):
            said += piece
            if time.monotonic() < begun + 3:
                time.sleep(0.005)
    assert said.startswith(b"HTTP/1.1 200")
    assert len(json.loads(said.partition(b"\r\n\r\n")[2])["tokens"]) == 900_000


def test_client_that_writes_single_bytes_is_dropped(hurried: Running) -> None:
    for asked in (PAGE, post("/tokenize", {"content": "a" * 100}, f"x-api-key: {KEY}")):
        with connected(hurried) as (client,):
            begun = time.monotonic()
            for k in range(len(asked)):
                try:
                    client.sendall(asked[k : k + 1])
                except OSError:
                    break
                time.sleep(0.05)
            assert time.monotonic() - begun < 20
            assert dropped(client)
    assert gone(hurried) and fine(hurried)


def test_disconnected_client_is_forgotten(hurried: Running) -> None:
    for asked in (PAGE * 300, LARGE, STREAM, LARGE[:-1], PAGE[:-1]):
        with connected(hurried, 3) as clients:
            for client in clients:
                send(client, asked)
            clients[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # by a reset
            clients[1].shutdown(socket.SHUT_WR)
    assert gone(hurried) and hurried.idle() and fine(hurried)


def test_pipelined_requests_are_answered_in_order(hurried: Running) -> None:
    wrong = b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n"
    body = post("/tokenize", {"content": "a"}, f"x-api-key: {KEY}").replace(b"Connection: close\r\n", b"")
    last = PAGE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    said = raw(hurried.port, PAGE + wrong + body + body.replace(KEY.encode(), b"wrong") + last)
    assert re.findall(rb"HTTP/1\.1 (\d+) ", said) == [b"200", b"404", b"200", b"401", b"200"]


def test_address_has_a_share_of_the_connections(hurried: Running) -> None:
    assert gone(hurried)
    with connected(hurried, MOST // 4) as clients:
        said = raw(hurried.port, b"")
        assert said.startswith(b"HTTP/1.1 503") and b"Retry-After" in said
        clients.pop().close()
        deadline = time.monotonic() + 10
        while len(hurried.connections) >= MOST // 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert httpx.get(f"{hurried.url}/health").status_code == 200
        with socket.socket() as other:
            other.bind(("127.0.0.2", 0))
            other.connect(("127.0.0.1", hurried.port))
            other.sendall(PAGE)
            assert other.recv(100).startswith(b"HTTP/1.1 200")
    assert gone(hurried)


def test_small_pieces_are_sent_at_once(hurried: Running) -> None:
    """A second piece would wait for the first one's receipt, which clients put off for 40 ms."""
    with connected(hurried) as (client,):
        client.sendall(PAGE)
        assert client.recv(12) == b"HTTP/1.1 200"
        (one,) = hurried.connections
        own = one.transport.get_extra_info("socket")
        assert own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert gone(hurried)


def test_open_file_limit_is_raised() -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 600 or hard < 600:
        pytest.skip("the system gives few files")
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (500, hard))
        server.raise_file_limit(600)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (600, hard)
        server.raise_file_limit(550)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (600, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_memory_of_connections_is_bounded(hurried: Running) -> None:
    assert gone(hurried)
    with ExitStack() as stack:
        said = []
        for k in range(MOST + 3):
            client = stack.enter_context(socket.socket())
            client.settimeout(20)
            client.bind((f"127.0.1.{k // 9}", 0))
            client.connect(("127.0.0.1", hurried.port))
            said.append(client)
        assert sum(client.recv(12) == b"HTTP/1.1 503" for client in said[MOST:]) == 3
    assert gone(hurried)
