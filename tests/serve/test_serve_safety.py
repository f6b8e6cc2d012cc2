"""Access and limits: keys, hosts, pages, sizes, times, connections."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.serve.served import ASKED, CONTEXT, Running, post, raw, running
from tinsmith import cli
from tinsmith.serve import app
from tinsmith.serve.guard import is_loopback
from tinsmith.serve.limits import Limits

KEYS = ["a-key-of-some-length", "another-key-of-some-length"]
LONG = {"model": "tiny", "messages": ASKED, "temperature": 1, "logit_bias": {"0": -100, "2": -100}}
BODY = {"model": "tiny", "messages": ASKED, "max_tokens": 2}


@pytest.fixture(scope="module")
def guarded(files: list[Path]) -> Iterator[Running]:
    limits = Limits(body=20_000, schema=2_000, in_flight=2, queue=2, read_seconds=0.5, tokens=15_000)
    with running(files[:1], limits, slots=1, context=CONTEXT, keys=KEYS, origins=["https://a.example"]) as made:
        yield made


@pytest.fixture(scope="module")
def brief(files: list[Path]) -> Iterator[Running]:
    """That waits for no rest of a request."""
    with running(files[:1], Limits(read_seconds=0.5), slots=1) as made:
        yield made


def ask(server: Running, body: Any, key: str = KEYS[0], **headers: str) -> httpx.Response:
    return httpx.post(
        f"{server.url}/v1/chat/completions",
        content=body if isinstance(body, bytes) else json.dumps(body),
        headers={"authorization": f"Bearer {key}", **headers},
        timeout=30,
    )


def test_key_is_required(guarded: Running) -> None:
    url = guarded.url
    for headers in (
        {},
        {"authorization": "Bearer wrong"},
        {"x-api-key": KEYS[0][:-1]},
        {"authorization": KEYS[0]},
    ):
        for path, kind in (("/v1/models", "error"), ("/api/tags", None), ("/metrics", "error")):
            refused = httpx.get(url + path, headers=headers)
            assert refused.status_code == 401 and refused.headers["www-authenticate"] == "Bearer"
            assert isinstance(refused.json()["error"], dict if kind else str)
    refused = httpx.post(f"{url}/v1/messages", json={})
    assert refused.json()["error"]["type"] == "authentication_error"
    for key in KEYS:
        assert httpx.get(f"{url}/v1/models", headers={"authorization": f"bearer {key}"}).status_code == 200
        assert httpx.get(f"{url}/v1/models", headers={"x-api-key": key}).status_code == 200
    assert httpx.get(f"{url}/health").status_code == 200
    assert httpx.get(f"{url}/").headers["content-security-policy"].startswith("default-src 'none'")


def test_prompt_cache_is_per_key(guarded: Running) -> None:
    body = {**BODY, "messages": [{"role": "user", "content": "a secret of one"}]}
    cached = lambda key: ask(guarded, body, key).json()["usage"]["prompt_tokens_details"]["cached_tokens"]  # noqa: E731
    assert [cached(key) for key in (KEYS[0], KEYS[1])] == [0, 0]
    assert cached(KEYS[0]) > 0


def test_hosts_and_origins(guarded: Running) -> None:
    assert ask(guarded, BODY, host="rebound.example").status_code == 403
    assert ask(guarded, BODY, host="localhost:1").status_code == 200
    assert ask(guarded, BODY, origin="https://b.example").status_code == 403
    allowed = ask(guarded, BODY, origin="https://a.example")
    assert allowed.status_code == 200 and allowed.headers["access-control-allow-origin"] == "https://a.example"
    own = f"127.0.0.1:{guarded.port}"
    assert ask(guarded, BODY, host=own, origin=f"http://{own}").status_code == 200
    preflight = {"origin": "https://b.example", "access-control-request-method": "POST"}
    refused = httpx.options(f"{guarded.url}/v1/chat/completions", headers=preflight)
    assert refused.status_code == 400 and "access-control-allow-origin" not in refused.headers


def test_body_and_schema_size_limits(guarded: Running) -> None:
    assert ask(guarded, b"[" * 20_001).status_code == 413
    chunked = (
        b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nx-api-key: %s\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    said = raw(
        guarded.port, chunked % KEYS[0].encode() + b"4e20\r\n" + b"x" * 20_000 + b"\r\n5\r\nxxxxx\r\n0\r\n\r\n"
    )
    assert said.startswith(b"HTTP/1.1 413")
    for body in (
        b"[" * 1000,
        b'{"a":' * 300 + b"1" + b"}" * 300,
        b"{",
        b'"\xff"',
        b"1" * 4000,
        b"NaN",
        b"[]",
        b"",
    ):
        refused = ask(guarded, body)
        said = refused.json()["error"]["message"]
        assert refused.status_code == 400 and said and "Body" not in said, body
    wide = {"enum": [f"value {k}" for k in range(300)]}
    form = {"type": "json_schema", "json_schema": {"name": "s", "schema": wide}}
    assert "the maximum is 2,000" in ask(guarded, {**BODY, "response_format": form}).json()["error"]["message"]
    assert ask(guarded, {**BODY, "max_tokens": 15_001}).json()["error"]["param"] == "max_tokens"


@pytest.mark.parametrize(
    ("path", "key"), [("/health", ""), ("/", ""), ("/v1/models", KEYS[0]), ("/metrics", KEYS[0])]
)
def test_route_without_a_body_rejects_one(guarded: Running, path: str, key: str) -> None:
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nx-api-key: {key}\r\nConnection: close\r\n"
    for body in ("Content-Length: 1\r\n\r\nx", "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"):
        said = raw(guarded.port, (head + body).encode())
        assert said.startswith(b"HTTP/1.1 413") and b"takes no body" in said
    assert raw(guarded.port, (head + "Content-Length: 0\r\n\r\n").encode()).startswith(b"HTTP/1.1 200")


def test_error_arrives_before_the_body_is_read(guarded: Running) -> None:
    """A client that sends all before it reads would see a reset, if the connection ended with that unread."""
    for path, key, status in (
        ("/v1/chat/completions", KEYS[0], 413),
        ("/v1/chat/completions", "wrong", 401),
        ("/nowhere", KEYS[0], 404),
        ("/health", "", 405),
    ):
        for closing in ("close", "keep-alive"):
            with socket.create_connection(("127.0.0.1", guarded.port), timeout=20) as connection:
                head = (
                    f"POST {path} HTTP/1.1\r\nHost: localhost\r\nx-api-key: {key}\r\nConnection: {closing}\r\n"
                )
                connection.sendall(f"{head}Content-Length: 8000000\r\n\r\n".encode())
                for _ in range(80):
                    connection.sendall(b"x" * 100_000)
                assert connection.recv(12).decode() == f"HTTP/1.1 {status}"


def test_two_lengths_close_the_connection(guarded: Running) -> None:
    """A proxy before the server may have seen the end elsewhere: what follows may be another's request."""
    key = f"x-api-key: {KEYS[0]}\r\n"
    for path in ("/tokenize", "/nowhere"):
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{key}Content-Length: 4\r\n"
        head += "Transfer-Encoding: chunked\r\n"
        hidden = f"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n{key}\r\n"
        said = raw(guarded.port, f"{head}\r\n0\r\n\r\n{hidden}".encode())
        assert said.startswith(b"HTTP/1.1 400") and said.count(b"HTTP/1.1") == 1


def test_large_bodies_in_flight_are_limited_per_client(files: list[Path]) -> None:
    limits = Limits(body=2_000, read_seconds=5)
    with running(files[:1], limits, keys=KEYS) as made, ExitStack() as stack:
        begun = post("/tokenize", b"[" * 2_000, f"x-api-key: {KEYS[0]}")[:-1]
        for _ in range(16):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", made.port)))
            connection.sendall(begun)
        deadline = time.monotonic() + 4
        while ask(made, {**BODY, "user": "x" * 1_000}).status_code != 429:
            assert time.monotonic() < deadline
        assert ask(made, {**BODY, "user": "x" * 1_000}, KEYS[1]).status_code == 200


def test_address_has_its_share_without_keys(files: list[Path]) -> None:
    path, body = "/v1/chat/completions", {**LONG, "stream": True}
    with (
        running(files[:1], Limits(in_flight=1), context=CONTEXT) as made,
        httpx.Client(base_url=made.url) as one,
        one.stream("POST", path, json=body) as under_way,
    ):
        assert under_way.status_code == 200
        assert one.post(path, json=BODY).status_code == 429
        transport = httpx.HTTPTransport(local_address="127.0.0.2")
        with httpx.Client(transport=transport, base_url=made.url, timeout=20) as other:
            assert other.post(path, json=BODY).status_code == 200


def test_slow_clients(guarded: Running) -> None:
    begun = time.monotonic()
    assert raw(guarded.port, b"POST /v1/chat/comple") == b""
    head = post("/tokenize", {"content": "x" * 100}, f"x-api-key: {KEYS[0]}")[:-50]
    assert raw(guarded.port, head).startswith(b"HTTP/1.1 408")
    one = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert raw(guarded.port, one + b"GET /hea").count(b"HTTP/1.1 200") == 1
    assert time.monotonic() - begun < 20


def test_in_flight_and_queue_limits(guarded: Running) -> None:
    """One place, two that wait, two answers for a key."""
    assert guarded.idle()
    with httpx.Client(base_url=guarded.url, timeout=30) as client:
        path, streams = "/v1/chat/completions", []
        body = {**LONG, "stream": True}
        for key in (KEYS[0], KEYS[0], KEYS[1]):
            stream = client.stream("POST", path, json=body, headers={"x-api-key": key})
            streams.append(stream)
            assert stream.__enter__().status_code == 200
        many = client.post(path, json=BODY, headers={"x-api-key": KEYS[0]})
        full = client.post(path, json=BODY, headers={"x-api-key": KEYS[1]})
        assert (many.status_code, many.json()["error"]["type"]) == (429, "rate_limit_error")
        assert (full.status_code, full.json()["error"]["type"]) == (503, "server_error")
        assert int(many.headers["retry-after"]) >= 1 and int(full.headers["retry-after"]) >= 1
        before = guarded.state.models[0].worker.cancelled
        for stream in streams:
            stream.__exit__(None, None, None)
    assert guarded.idle()
    assert guarded.state.models[0].worker.cancelled == before + 3
    assert ask(guarded, BODY).status_code == 200


def test_disconnect_cancels_the_answer(server: Running) -> None:
    worker = server.state.models[0].worker
    assert server.idle()
    before = worker.cancelled
    for stream in (False, True):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(post("/v1/chat/completions", {**LONG, "stream": stream}))
            deadline = time.monotonic() + 10
            while not worker.in_flight and time.monotonic() < deadline:
                time.sleep(0.005)
            assert worker.in_flight
        assert server.idle(2)
    assert worker.cancelled == before + 2


def test_each_message_yields_to_the_event_loop() -> None:
    """Where many pieces came at once, they went to a client that was gone, with a warning for each: filled
    pipes of who reads none stopped the server."""
    order: list[object] = []

    async def send(message: object) -> None:
        order.append(message)
        asyncio.get_running_loop().call_soon(order.append, "others")

    async def pieces() -> None:
        sent = app.yielding(send)
        for number in range(2):
            await sent({"type": "http.response.body", "number": number})

    asyncio.run(pieces())
    assert [one if isinstance(one, str) else "a piece" for one in order] == ["a piece", "others"] * 2


def test_slow_schema_blocks_no_other_request(files: list[Path]) -> None:
    with running(files[:1], Limits(compile_seconds=0.3)) as made:
        deep = {
            "type": "object",
            "properties": {str(k): {"pattern": "(a|b|ab){1,40}c{2,90}"} for k in range(60)},
        }
        form = {"type": "json_schema", "json_schema": {"name": "s", "schema": deep}}
        said: list[httpx.Response] = []
        slow = threading.Thread(target=lambda: said.append(ask(made, {**BODY, "response_format": form})))
        slow.start()
        assert ask(made, BODY).status_code == 200
        slow.join()
        assert "takes over 0.3 seconds" in said[0].json()["error"]["message"]
        easy = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "boolean"}}}
        assert (
            ask(made, {**BODY, "response_format": easy}).status_code == 200 or made.state.compiler.seconds > 0.5
        )


def test_failed_batch_is_restarted(files: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    with running(files[:1]) as made:
        worker = made.state.models[0].worker

        def broken(budget: float) -> list[Any]:
            raise ValueError("a fault of ours")

        worker._scheduler.step = broken  # type: ignore[assignment,method-assign]
        failed = ask(made, BODY)
        assert failed.status_code == 500 and failed.json()["error"]["type"] == "server_error"
        assert "a fault" not in failed.text
        assert (worker.failed, worker.alive, ask(made, BODY).status_code) == (1, True, 200)
    assert "a fault of ours" in capsys.readouterr().err


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    line=st.binary(max_size=60),
    headers=st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=40)), max_size=4),
    body=st.binary(max_size=60),
)
def test_any_bytes(brief: Running, line: bytes, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    head = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
    said = raw(
        brief.port, line + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + head + b"\r\n" + body
    )
    assert said == b"" or (said.startswith(b"HTTP/1.1 ") and not said.startswith(b"HTTP/1.1 5"))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    path=st.text(max_size=30), host=st.sampled_from(["localhost", "[::1]:80", "127.9.9.9", "", "x", "[", ":"])
)
def test_any_path(brief: Running, path: str, host: str) -> None:
    from urllib.parse import quote

    lines = f"GET /{quote(path)} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    status = int(raw(brief.port, lines.encode())[9:12])
    assert status in (200, 307, 400, 403, 404, 405)


def test_report_is_a_regular_file_beside_the_model(files: list[Path], tmp_path: Path) -> None:
    """It may be large, and no link: that could lead to any file."""
    model, report, other = tmp_path / "tiny.tin", tmp_path / "report.html", tmp_path / "other"
    shutil.copy(files[0], model)
    other.write_text("not for everybody")
    with running([model]) as made:
        path = f"{made.url}/tinsmith/report"
        report.symlink_to(other)
        assert httpx.get(path).status_code == 404
        assert httpx.get(f"{made.url}/tinsmith/about").json()["report"] is None
        report.unlink()
        report.mkdir()
        assert httpx.get(path).status_code == 404
        report.rmdir()
        with report.open("wb") as file:
            file.truncate(64 << 20)
        tracemalloc.start()
        try:
            with httpx.stream("GET", path) as answer:
                assert sum(map(len, answer.iter_bytes(1 << 16))) == 64 << 20
            assert tracemalloc.get_traced_memory()[1] < 8 << 20
        finally:
            tracemalloc.stop()


def test_other_machines_need_a_key(files: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["serve", str(files[0]), "--host", "0.0.0.0"]) == 2
    assert "give --api-key-file, or --insecure" in capsys.readouterr().err
    assert cli.main(["serve", str(files[0]), "--tls-key", "k.pem"]) == 2
    assert "--tls-cert" in capsys.readouterr().err
    assert cli.main(["serve", str(files[0]), str(files[0])]) == 2
    assert "two files are named tiny" in capsys.readouterr().err
    names = [
        ("localhost", True),
        ("127.0.0.9", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("a.localhost", False),
    ]
    assert [is_loopback(name) for name, _ in names] == [known for _, known in names]
