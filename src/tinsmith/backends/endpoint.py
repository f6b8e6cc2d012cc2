"""A client of chat models behind OpenAI's API, such as llama.cpp's server, vLLM or a service.

It calls the user's address only: without proxies or redirects, which would send texts and the key elsewhere.
Standard library only.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tinsmith import checks
from tinsmith.errors import InputError, OfflineError, one_line
from tinsmith.system import reading

COMPLETIONS = "/chat/completions"
_AGAIN = (408, 429, 500, 502, 503, 504)  # statuses that a later try may change
_TRIES = 5
_PAUSE = 0.5  # seconds before the second try, doubled for each later one
_LONGEST = 120.0  # seconds; a longer Retry-After ends the tries
_MOST = 1 << 24  # bytes of a response
_PIECE = 1 << 16
_SHOWN = 200  # characters of a server's message


@dataclass(frozen=True, slots=True)
class Answer:
    """prompt_tokens, answer_tokens: the server's counts; None where it states none. finish: its reason,
    "length" for a truncated answer. seconds: of the successful request, without earlier tries."""

    text: str
    prompt_tokens: int | None
    answer_tokens: int | None
    seconds: float
    finish: str = "stop"


class _Failed(Exception):
    """The failure of one try. wait: the server's wish in seconds before the next; None forbids one."""

    def __init__(self, message: str, wait: float | None = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


@dataclass(frozen=True)
class Endpoint:
    """url: the API's, such as http://localhost:8080/v1. model: the server's name of the model. key: a bearer
    token; errors don't show it. timeout: seconds for one answer. Thread-safe: each request has its own
    connection.

    Raises InputError for an invalid address, key or model name."""

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    timeout: float = 300.0

    def __post_init__(self) -> None:
        parts = _parts(self.url)
        if parts.username is not None:
            raise InputError(f"{self.where}: contains a user or password; give the key separately")
        if self.key is not None and not (self.key.isascii() and self.key.isprintable() and self.key):
            raise InputError(f"{self.where}: the key must be printable ASCII; check its source")
        if not self.model:
            raise InputError(f"{self.where}: give the name of a model; {self.url}/models may list them")
        checks.real("timeout", self.timeout, 0.001, 86400)

    @property
    def where(self) -> str:
        """The address for errors, without password."""
        parts = urllib.parse.urlsplit(self.url)
        return one_line(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")

    def ask(
        self,
        messages: Sequence[Mapping[str, Any]],
        max_tokens: int,
        *,
        temperature: float = 0.0,
        seed: int = 0,
        schema: Mapping[str, Any] | None = None,
    ) -> Answer:
        """messages: in OpenAI's format, with role and content. schema: a JSON schema for the answer; not every
        server enforces it, so check the answer.

        Raises OfflineError where the server can't be reached or keeps failing, InputError where it refuses or
        its answer is invalid."""
        body: dict[str, Any] = {
            "model": self.model,
            "messages": list(messages),
            "max_tokens": checks.whole("max_tokens", max_tokens, 1),
            "temperature": checks.real("temperature", temperature, 0, 100),
            "seed": checks.whole("seed", seed),
        }
        if schema is not None:
            named = {"name": "answer", "schema": schema}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        data = json.dumps(body).encode()
        for attempt in range(_TRIES):
            try:
                return self._once(data)
            except _Failed as error:
                if error.wait is None or attempt == _TRIES - 1:
                    tried = f" ({attempt + 1} tries)" if attempt else ""
                    raise OfflineError(f"{self.where}: {error}{tried}; try again later") from None
                time.sleep(max(error.wait, _PAUSE * 2**attempt))
        raise AssertionError

    def _once(self, data: bytes) -> Answer:
        begun = time.monotonic()
        parts = _parts(self.url)
        kind = http.client.HTTPConnection if parts.scheme == "http" else http.client.HTTPSConnection
        connection = kind(parts.hostname or "", parts.port, timeout=self.timeout)
        try:
            path = parts.path.rstrip("/").removesuffix(COMPLETIONS) + COMPLETIONS
            headers = {"Content-Type": "application/json", "User-Agent": "tinsmith"}
            headers |= {"Authorization": f"Bearer {self.key}"} if self.key else {}
            connection.request("POST", path, data, headers)
            response = connection.getresponse()
            raw = self._read(response, begun + self.timeout)
        except TimeoutError:
            raise _Failed(f"no answer within {self.timeout:g} seconds") from None
        except ssl.SSLCertVerificationError as error:
            raise InputError(
                f"{self.where}: its certificate is not trusted: {error.verify_message}; "
                "set SSL_CERT_FILE to its authority's file"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise _Failed(f"cannot be reached: {self._shown(reason)}") from None
        finally:
            connection.close()
        if response.status != 200:
            self._refused(response, raw)
        return self._answer(raw, time.monotonic() - begun)

    def _read(self, response: http.client.HTTPResponse, until: float) -> bytes:
        data = bytearray()
        while piece := response.read1(_PIECE):
            data += piece
            if len(data) > _MOST:
                raise InputError(f"{self.where}: more than {_MOST:,} bytes; check that it is a chat model")
            if time.monotonic() > until:
                raise TimeoutError
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)
        return bytes(data)

    def _refused(self, response: http.client.HTTPResponse, raw: bytes) -> None:
        status = f"HTTP {response.status} {response.reason}".rstrip()
        stated = _stated(raw)
        message = self._shown(f"{status}: {stated}" if stated else status)
        if response.status in _AGAIN:
            stated_wait = response.headers.get("Retry-After", "").strip()
            wait = float(stated_wait) if stated_wait.isdecimal() else 0.0  # 0 for a date, too
            if wait > _LONGEST:
                raise _Failed(f"{message}; it asks to wait {wait:.0f} seconds", None)
            raise _Failed(message, wait)
        if 300 <= response.status < 400:
            place = self._shown(response.headers.get("Location") or "nowhere")
            raise InputError(f"{self.where}: redirects to {place}; give that address if you trust it")
        advice = {
            401: "check the key",
            403: "check the key and what it may use",
            404: f'check the address, which mostly ends in /v1, and the model "{one_line(self.model)}"',
        }.get(response.status, "check the model's name and what it takes")
        raise InputError(f"{self.where}: {message}; {advice}")

    def _answer(self, raw: bytes, seconds: float) -> Answer:
        advice = "check that the address is an OpenAI-compatible API's, which mostly ends in /v1"
        value = reading.json(raw.decode("utf-8", "replace"), self.where, advice=advice)
        try:
            choice = value["choices"][0]
            text = choice["message"]["content"]
        except (KeyError, IndexError, TypeError):
            text = None
        if not isinstance(text, str):
            raise InputError(f"{self.where}: the answer has no text at choices[0].message.content; {advice}")
        usage = value.get("usage")
        prompt, answer = (_count(usage, key) for key in ("prompt_tokens", "completion_tokens"))
        return Answer(text, prompt, answer, seconds, str(choice.get("finish_reason") or "stop"))

    def _shown(self, text: str) -> str:
        """A server's message, on one line and without the key, which some repeat."""
        text = one_line(text.replace(self.key, "(the key)") if self.key else text)
        return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _count(usage: Any, key: str) -> int | None:
    count = usage.get(key) if isinstance(usage, dict) else None
    return count if type(count) is int and count >= 0 else None


def _parts(url: str) -> urllib.parse.SplitResult:
    try:
        parts = urllib.parse.urlsplit(url)
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        known = False
    if not known or not url.isascii() or not url.isprintable() or " " in url or parts.query or parts.fragment:
        raise InputError(f"{one_line(url.rpartition('@')[2])}: no address of an API; give http(s)://HOST/v1")
    return parts


def _stated(raw: bytes) -> str:
    """A server's error message: {"error": {"message": ...}}, {"message": ...}, or plain text."""
    try:
        value = reading.json(raw, "")
    except InputError:
        return raw[: 4 * _SHOWN].decode("utf-8", "replace").strip()
    for key in ("error", "message"):
        value = value.get(key, value) if isinstance(value, dict) else value
    return value if isinstance(value, str) else ""
