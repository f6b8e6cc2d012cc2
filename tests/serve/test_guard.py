"""Access by key, host, origin and size, without a server."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from tinsmith.errors import InputError
from tinsmith.serve.errors import ApiError
from tinsmith.serve.guard import Guard, client_address, is_loopback, read_keys
from tinsmith.serve.limits import Limits

KEYS = ["a-key-of-some-length", "another-key-of-some-length"]
ADDRESS = "192.0.2.1"


def request(**headers: str) -> Request:
    given = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return Request({"type": "http", "headers": given, "client": (ADDRESS, 5)})


def refusal(guard: Guard, asked: Request, *, public: bool = False) -> tuple[int, str, str | None]:
    with pytest.raises(ApiError) as error:
        guard.client(asked, public=public)
    return error.value.status, str(error.value), error.value.code


def test_a_key_is_the_client() -> None:
    guard = Guard(KEYS, [], False, Limits())
    for key in KEYS:
        client = hashlib.sha256(key.encode()).hexdigest()[:32]
        for headers in (
            {"authorization": f"Bearer {key}"},
            {"authorization": f"bearer  {key} "},
            {"x_api_key": key},
            {"authorization": "Basic abc", "x_api_key": key},
        ):
            assert guard.client(request(host="nas", **headers), public=False) == client
            assert guard.client(request(host="nas", **headers), public=True) == client
    for headers in ({}, {"x_api_key": "a"}, {"authorization": KEYS[0]}, {"authorization": f"Token {KEYS[0]}"}):
        unknown = (401, "unknown API key; send Authorization: Bearer KEY", "invalid_api_key")
        assert refusal(guard, request(host="nas", **headers)) == unknown
        assert guard.client(request(host="nas", **headers), public=True) == ADDRESS
    assert Guard([], [], False, Limits()).client(request(host="nas", x_api_key="a"), public=False) == ADDRESS


def test_origins() -> None:
    said = "pages of {} may not send requests; --cors allows an origin"
    own = request(host="NAS:80", origin="http://nas:80")
    for guard in (Guard([], [], False, Limits()), Guard(KEYS, ["https://a.example"], False, Limits())):
        assert guard.client(own, public=True) == ADDRESS
        for origin in ("http://nas", "null", "", "https://b.example"):
            other = request(host="nas:80", origin=origin)
            assert refusal(guard, other, public=True) == (403, said.format(origin), "bad_origin")
    guard = Guard([], ["https://a.example", "https://b.example:8443"], False, Limits())
    for origin, host in (("https://a.example", "nas"), ("https://b.example:8443", "b.example:1")):
        assert guard.client(request(host=host, origin=origin), public=True) == ADDRESS
    any_page = Guard([], ["*"], False, Limits())
    assert any_page.client(request(host="nas", origin="https://c.example"), public=True) == ADDRESS


def test_hosts() -> None:
    local = Guard([], [], True, Limits())
    loopback = (403, "this server accepts names of the loopback only, such as localhost", "bad_host")
    for host in ("localhost", "LOCALHOST:80", "127.0.0.1", "127.9.9.9:1", "[::1]", "[::1]:8080"):
        assert local.client(request(host=host), public=True) == ADDRESS
    for host in ("", "nas", "192.0.2.1", "[::2]", "localhost.a", "a.localhost", "[::1]a", "localhost:80:80"):
        assert refusal(local, request(host=host), public=True) == loopback
    open_ = Guard([], [], False, Limits())
    for name in ("a.localhost", "a.local", "a.internal", "a.lan", "a.home.arpa", "1.2.3.4", "[2001:db8::1]"):
        assert open_.client(request(host=f"{name}:1"), public=True) == ADDRESS
    for name in (
        *("a.example", "a.locals", "local.example", "1.2.3.4.example", "localhost.a.example", "a@b.example"),
        *("[::1]a.example", "localhost:80@a.example"),
    ):
        said = f"without API keys, this server accepts addresses and local names only, not {name}"
        refused = (403, f"{said}; --cors allows it", "bad_host")
        assert refusal(open_, request(host=name.upper()), public=True) == refused
    assert [is_loopback(host) for host in ("localhost", "[::1]", "a", "::1", "10.0.0.1")] == [1, 1, 0, 1, 0]


def test_messages_quote_100_characters_at_most() -> None:
    guard = Guard([], [], False, Limits())
    assert f"not {'x' * 100};" in refusal(guard, request(host="x" * 120 + ".example"), public=True)[1]
    assert f"of {'y' * 100} may" in refusal(guard, request(host="nas", origin="y" * 120), public=True)[1]


def test_address_is_one_client() -> None:
    assert client_address(("192.0.2.1", 1)) == client_address(("::ffff:192.0.2.1", 2)) == "192.0.2.1"
    assert (
        client_address(("2001:db8:0:1::1", 1))
        == client_address(("2001:db8:0:1:ffff::2", 1))
        != client_address(("2001:db8:0:2::1", 1))
    )
    assert client_address(("fe80::1%eth0", 1)) == "fe80::"
    assert client_address(None) == client_address(("", 0)) == client_address(("a name", 0)) == ""


def test_key_file(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("# ours\na-key-of-some-length # mine\n\nanother-key-of-some-length\n")
    assert read_keys(path) == KEYS
    path.write_text("a-key-of-16-char\n")
    assert read_keys(path) == ["a-key-of-16-char"]
    for text, said in (
        ("a-key-of-15-cha\n", ":1: a key needs at least 16"),
        ("\n\u00e9-key-of-some-length\n", ":2: a key needs at least 16 printable ASCII"),
        ("a-key-of-some-\x7flength\n", ":1: a key needs at least 16 printable ASCII"),
        ("a-key of-some-length\n", ":1: .* without spaces"),
        ("# none\n", "no key"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=said):
            read_keys(path)


def body(guard: Guard, pieces: Sequence[bytes], client: str = "a", **headers: str) -> bytes:
    """What the guard reads of a request in these pieces."""
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages[-1]["more_body"] = False

    async def receive() -> Any:
        return messages.pop(0)

    async def read() -> bytes:
        async with guard.body(request(**headers), receive, client, allowed=True) as data:
            return data

    return asyncio.run(read())


def test_body_sizes() -> None:
    guard = Guard([], [], False, Limits(body=10))
    assert body(guard, [b"abcde", b"", b"fghij"], content_length="10") == b"abcdefghij"
    for pieces, headers in (([b"a"], {"content_length": "11"}), ([b"abcde", b"fghijk"], {})):
        with pytest.raises(ApiError, match="^the body exceeds 10 bytes$") as error:
            body(guard, pieces, **headers)
        assert (error.value.status, error.value.code) == (413, "too_large")
    assert body(guard, [b"a"], content_length="a lie") == b"a"


def test_bodies_in_flight() -> None:
    """16 bodies of the largest size of one client, 64 of all; what ends is given back."""
    guard, limits = Guard([], [], False, Limits(body=10)), (16, 64)

    async def held(client: str, started: asyncio.Event, end: asyncio.Event) -> None:
        async def receive() -> Any:
            return {"type": "http.request", "body": b"x" * 10}

        async with guard.body(request(), receive, client, allowed=True):
            started.set()
            await end.wait()

    async def reached(clients: list[str]) -> tuple[int, ApiError]:
        end, tasks = asyncio.Event(), []
        for number, client in enumerate(clients):
            started = asyncio.Event()
            tasks.append(asyncio.create_task(held(client, started, end)))
            waiting = asyncio.create_task(started.wait())
            await asyncio.wait([waiting, tasks[-1]], return_when=asyncio.FIRST_COMPLETED)
            if tasks[-1].done():
                waiting.cancel()
                error = tasks.pop().exception()
                end.set()
                await asyncio.gather(*tasks)
                assert isinstance(error, ApiError)
                return number, error
        raise AssertionError("no limit")

    for _ in range(2):
        count, error = asyncio.run(reached(["a"] * 20))
        assert (count, error.status) == (limits[0], 429)
        assert "too many large requests of this client are in flight" in str(error)
        count, error = asyncio.run(reached([str(k // 16) for k in range(80)]))
        assert (count, error.status) == (limits[1], 503)
        assert "too many large requests are in flight" in str(error)


def test_a_client_that_leaves_or_is_slow() -> None:
    guard = Guard([], [], False, Limits(body=10, read_seconds=0.05))

    async def read(receive: Any) -> None:
        async with guard.body(request(), receive, "a", allowed=True):
            raise AssertionError("it is complete")

    async def gone() -> Any:
        return {"type": "http.disconnect"}

    async def slow() -> Any:
        await asyncio.sleep(10)

    with pytest.raises(ConnectionAbortedError):
        asyncio.run(read(gone))
    with pytest.raises(ApiError, match=r"^the body did not arrive in 0.05 seconds$") as error:
        asyncio.run(read(slow))
    assert (error.value.status, error.value.code) == (408, "timeout")


def test_a_route_without_a_body() -> None:
    guard = Guard([], [], False, Limits())

    async def read(piece: bytes) -> bytes:
        async def receive() -> Any:
            return {"type": "http.request", "body": piece}

        async with guard.body(request(), receive, "a", allowed=False) as data:
            return data

    assert asyncio.run(read(b"")) == b""
    with pytest.raises(ApiError, match="^this path takes no body; leave it out$"):
        asyncio.run(read(b"a"))
