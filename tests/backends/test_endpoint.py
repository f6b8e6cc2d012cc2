"""A chat model behind an address: what is asked, what is tried again, and what it may answer with."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.backends.scripted_endpoint import Reply, in_order, says, serving
from tinsmith.backends import endpoint
from tinsmith.backends.endpoint import Endpoint
from tinsmith.errors import InputError, OfflineError, TinsmithError

MESSAGES = [{"role": "user", "content": "Where is the key?"}]
KEY = "sk-secret-0123"


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds waited between tries, which pass at once."""
    seconds: list[float] = []
    monkeypatch.setattr(endpoint.time, "sleep", seconds.append)
    return seconds


@pytest.fixture(autouse=True)
def a_proxy_that_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")


def test_it_asks_in_openais_shape_and_counts_tokens() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    with serving(in_order(says('{"a": "hook"}', finish="length"))) as server:
        answer = Endpoint(server.url + "/", "tiny", KEY).ask(
            MESSAGES, 20, temperature=0.5, seed=3, schema=schema
        )
        Endpoint(server.url + "/chat/completions", "tiny").ask(MESSAGES, 20)
    assert (answer.text, answer.prompt_tokens, answer.answer_tokens, answer.finish) == (
        '{"a": "hook"}',
        7,
        3,
        "length",
    )
    assert 0 < answer.seconds < 60
    assert server.paths == ["/v1/chat/completions"] * 2
    assert server.asked[0] == {
        "model": "tiny",
        "messages": MESSAGES,
        "max_tokens": 20,
        "temperature": 0.5,
        "seed": 3,
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}},
    }
    assert "response_format" not in server.asked[1]
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert "Authorization" not in server.headers[1]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(status: int, waits: list[float]) -> None:
    with serving(in_order(Reply(status=status), Reply(status=status), says("yes"))) as server:
        assert Endpoint(server.url, "tiny").ask(MESSAGES, 5).text == "yes"
    assert waits == [0.5, 1.0]


def test_it_waits_as_long_as_the_server_asks(waits: list[float]) -> None:
    busy = [Reply(status=429, headers={"Retry-After": when}) for when in ("7", "soon")]
    with serving(in_order(*busy, says("yes"))) as server:
        assert Endpoint(server.url, "tiny").ask(MESSAGES, 5).text == "yes"
    assert waits == [7.0, 1.0]


def test_it_gives_up_with_one_line(waits: list[float]) -> None:
    body = json.dumps({"error": {"message": f"over\nquota for {KEY}"}}).encode()
    with (
        serving(in_order(Reply(body, 429))) as server,
        pytest.raises(OfflineError) as error,
    ):
        Endpoint(server.url, "tiny", KEY).ask(MESSAGES, 5)
    assert len(server.asked) == 5
    assert str(error.value) == (
        f"{server.url}: HTTP 429 Too Many Requests: over\\nquota for (the key) (5 tries); try again later"
    )


def test_it_does_not_wait_for_hours(waits: list[float]) -> None:
    with (
        serving(in_order(Reply(status=503, headers={"Retry-After": "3600"}))) as server,
        pytest.raises(OfflineError, match="asks to wait 3600 seconds; try again later"),
    ):
        Endpoint(server.url, "tiny").ask(MESSAGES, 5)
    assert waits == []


def test_a_redirect_is_not_followed() -> None:
    with serving(in_order(says("stolen"))) as other:
        place = other.url.replace("127.0.0.1", "localhost") + "/chat/completions"
        for status in (301, 302, 303, 307, 308):
            with (
                serving(in_order(Reply(status=status, headers={"Location": place}))) as server,
                pytest.raises(InputError, match="redirects to http://localhost:.*; give that"),
            ):
                Endpoint(server.url, "tiny", KEY).ask(MESSAGES, 5)
        assert other.asked == []


REFUSED = [
    (401, b'{"error": {"message": "no such key"}}', "HTTP 401 Unauthorized: no such key; check the key"),
    (403, b"<html>", "HTTP 403 Forbidden: <html>; check the key and what it may use"),
    (404, b"", 'HTTP 404 Not Found; check the address, which mostly ends in /v1, and the model "tiny"'),
    (
        400,
        b'{"message": "too long"}',
        "HTTP 400 Bad Request: too long; check the model's name and what it takes",
    ),
    (418, b"\xff\x00" * 9999, "HTTP 418 I'm a Teapot: "),
]


@pytest.mark.parametrize(("status", "body", "message"), REFUSED, ids=[str(row[0]) for row in REFUSED])
def test_a_refusal_is_one_line_and_final(status: int, body: bytes, message: str) -> None:
    with serving(in_order(Reply(body, status))) as server, pytest.raises(InputError) as error:
        Endpoint(server.url, "tiny").ask(MESSAGES, 5)
    assert f"{server.url}: {message}" in str(error.value)
    assert str(error.value).isprintable() and len(str(error.value)) < 500
    assert len(server.asked) == 1


WRONG: dict[str, Any] = {
    "no JSON": b"<html>hello</html>",
    "not UTF-8": b'"\xff"',
    "deep": b"[" * 9999,
    "a list": b"[1]",
    "no choices": b'{"choices": []}',
    "a choice that is a text": b'{"choices": ["a"]}',
    "no content": b'{"choices": [{"message": {"content": null}}]}',
    "content of parts": b'{"choices": [{"message": {"content": [{"text": "a"}]}}]}',
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_answer_is_one_line(name: str) -> None:
    with serving(in_order(Reply(WRONG[name]))) as server, pytest.raises(InputError) as error:
        Endpoint(server.url, "tiny").ask(MESSAGES, 5)
    assert str(error.value).startswith(server.url)
    assert "ends in /v1" in str(error.value) and str(error.value).isprintable()


@pytest.mark.parametrize("usage", ["1", '{"prompt_tokens": "7"}', '{"prompt_tokens": true}', "null"])
def test_counts_that_are_none_are_not_made_up(usage: str) -> None:
    body = f'{{"choices": [{{"message": {{"content": "a"}}}}], "usage": {usage}}}'.encode()
    with serving(in_order(Reply(body))) as server:
        answer = Endpoint(server.url, "tiny").ask(MESSAGES, 5)
    assert (answer.prompt_tokens, answer.answer_tokens, answer.finish) == (None, None, "stop")


def test_more_than_an_answer_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "_MOST", 1000)
    with (
        serving(in_order(Reply(b"x" * 100_000))) as server,
        pytest.raises(InputError, match="more than 1,000 bytes"),
    ):
        Endpoint(server.url, "tiny").ask(MESSAGES, 5)


BROKEN = {
    "no HTTP": Reply(raw=b"SSH-2.0-OpenSSH\r\n"),
    "nothing": Reply(raw=b""),
    "cut short": Reply(says("yes").body, short=5),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_connection_is_tried_again(name: str, waits: list[float]) -> None:
    with serving(in_order(BROKEN[name], says("yes"))) as server:
        assert Endpoint(server.url, "tiny").ask(MESSAGES, 5).text == "yes"
    assert waits == [0.5]


def test_an_address_where_nobody_answers_is_one_line(waits: list[float]) -> None:
    with serving(in_order(says("yes"))) as server:
        url = server.url
    with pytest.raises(OfflineError, match=rf"{url}: cannot be reached: .*\(5 tries\); try again later"):
        Endpoint(url, "tiny").ask(MESSAGES, 5)


@pytest.mark.parametrize("drips", [False, True])
def test_a_slow_server_is_left(drips: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "_TRIES", 1)
    slow = Reply(says("yes").body, pause=0.05 if drips else 2.0, drips=drips)
    with (
        serving(in_order(slow)) as server,
        pytest.raises(OfflineError, match="no answer within 0.2 seconds; try again later"),
    ):
        Endpoint(server.url, "tiny", timeout=0.2).ask(MESSAGES, 5)


@pytest.mark.parametrize(
    "url",
    [
        *("", "localhost:8080/v1", "ftp://host/v1", "http://", "http://host:99999999/v1", "http://[::1/v1"),
        *(
            "http://host/v1?key=a",
            "http://host/v1#a",
            "http://ho st/v1",
            "http://host/\r\nHost: b",
            "file:///a",
        ),
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="no address of an API; give http") as error:
        Endpoint(url, "tiny")
    assert str(error.value).isprintable()


def test_a_key_is_shown_nowhere() -> None:
    assert KEY not in repr(Endpoint("http://host/v1", "tiny", KEY))
    for url, key in ((f"http://me:{KEY}@host/v1", None), ("http://host/v1", f"{KEY}\r\nHost: other")):
        with pytest.raises(InputError) as error:
            Endpoint(url, "tiny", key)
        assert KEY not in str(error.value)


@pytest.mark.parametrize("given", [{"max_tokens": 0}, {"temperature": float("nan")}, {"seed": -1}])
def test_numbers_are_checked(given: dict[str, Any]) -> None:
    with pytest.raises(TinsmithError, match=next(iter(given))):
        Endpoint("http://host/v1", "tiny").ask(MESSAGES, **{"max_tokens": 5} | given)
