"""A chat model behind an address that speaks OpenAI's API, such as llama.cpp's server, vLLM or a service.

Only the address that the user names is called: by no proxy, and no redirect is followed, so that neither texts
nor the key go anywhere else. Standard library only.
"""

from __future__ import annotations

import email.utils
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
_AGAIN = (408, 429, 500, 502, 503, 504)  # statuses after which a later try may fare better
_TRIES = 5
_PAUSE = 0.5  # seconds before the second try, doubled for each further one
_LONGEST = 120.0  # seconds that a server may ask to wait
_MOST = 1 << 24  # bytes of a response
_PIECE = 1 << 16
_SHOWN = 200  # characters of what a server says


@dataclass(frozen=True, slots=True)
class Answer:
    """prompt_tokens, answer_tokens: as the server counts them; None where it does not say. finish: its reason,
    "length" for an answer that was cut short. seconds: of the request that was answered, without the waiting
    between tries."""

    text: str
    prompt_tokens: int | None
    answer_tokens: int | None
    seconds: float
    finish: str = "stop"


class _Failed(Exception):
    """Of one try. wait: seconds before the next, where the server says; None: it is the last."""

    def __init__(self, message: str, wait: float | None = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


@dataclass(frozen=True)
class Endpoint:
    """url: the API's, such as http://localhost:8080/v1. model: the name that it knows the model by. key: is
    sent as a bearer token, and shown in no error. timeout: seconds for one answer. Safe to ask from several
    threads: each request has its own connection.

    Raises InputError for an address that is none."""

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    timeout: float = 300.0

    def __post_init__(self) -> None:
        parts = _parts(self.url)
        if parts.username is not None:
            raise InputError(f"{self.where}: holds a user or password; give the key apart from the address")
        if self.key is not None and not (self.key.isascii() and self.key.isprintable() and self.key):
            raise InputError(f"{self.where}: the key holds other than printable ASCII; check where it is from")
        if not self.model:
            raise InputError(f"{self.where}: give the name of a model; {self.url}/models may list them")
        checks.real("timeout", self.timeout, 0.001, 86400)

    @property
    def where(self) -> str:
        """The address as errors show it."""
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
        """messages: in OpenAI's shape, with role and content. schema: a JSON schema that the server is asked to
        hold the answer to; not all do, so check it.

        Raises OfflineError where the server can't be reached or stays unable, InputError where it refuses or
        answers with something else."""
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
        connection = self._connection()
        try:
            path = _parts(self.url).path.rstrip("/").removesuffix(COMPLETIONS) + COMPLETIONS
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
                "name its authority's file by SSL_CERT_FILE"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise _Failed(f"cannot be reached: {self._shown(reason)}") from None
        finally:
            connection.close()
        if response.status != 200:
            self._refused(response, raw)
        return self._answer(raw, time.monotonic() - begun)

    def _connection(self) -> http.client.HTTPConnection:
        parts = _parts(self.url)
        assert parts.hostname is not None
        if parts.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=self.timeout, context=context
            )
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=self.timeout)

    def _read(self, response: http.client.HTTPResponse, until: float) -> bytes:
        data = bytearray()
        while piece := response.read1(_PIECE):
            data += piece
            if len(data) > _MOST:
                raise InputError(
                    f"{self.where}: answers with more than {_MOST:,} bytes; is it a chat model's address?"
                )
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
            wait = _wait(response.headers.get("Retry-After"))
            if wait > _LONGEST:
                raise _Failed(f"{message}; it asks to wait {wait:.0f} seconds", None)
            raise _Failed(message, wait)
        if 300 <= response.status < 400:
            place = self._shown(response.headers.get("Location") or "nowhere")
            raise InputError(
                f"{self.where}: redirects to {place}, which is not followed; give that address if you trust it"
            )
        advice = {
            401: "check the key",
            403: "check the key and what it may use",
            404: f'check the address, which mostly ends in /v1, and the model "{one_line(self.model)}"',
        }.get(response.status, "check the model's name and what it takes")
        raise InputError(f"{self.where}: {message}; {advice}")

    def _answer(self, raw: bytes, seconds: float) -> Answer:
        advice = "is it the address of an OpenAI-compatible API, which mostly ends in /v1?"
        value = reading.json(raw.decode("utf-8", "replace"), self.where, advice=advice)
        try:
            choice = value["choices"][0]
            text = choice["message"]["content"]
        except (KeyError, IndexError, TypeError):
            text = None
        if not isinstance(text, str):
            raise InputError(f"{self.where}: the answer has no text at choices[0].message.content; {advice}")
        usage = value.get("usage")
        counts = [usage.get(key) if isinstance(usage, dict) else None for key in _COUNTS]
        prompt, answer = (count if _count(count) else None for count in counts)
        return Answer(text, prompt, answer, seconds, str(choice.get("finish_reason") or "stop"))

    def _shown(self, text: str) -> str:
        """What a server says, on one line and without the key, which some repeat."""
        text = one_line(text.replace(self.key, "(the key)") if self.key else text)
        return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


_COUNTS = ("prompt_tokens", "completion_tokens")


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _parts(url: str) -> urllib.parse.SplitResult:
    try:
        parts = urllib.parse.urlsplit(url)
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        known = False
    if not known or not url.isascii() or not url.isprintable() or " " in url or parts.query or parts.fragment:
        raise InputError(
            f"{one_line(url.rpartition('@')[2])}: no address of an API; give one such as http://localhost:8080/v1"
        )
    return parts


def _wait(header: str | None) -> float:
    """Seconds, of a Retry-After in seconds or with a date."""
    if header is None:
        return 0.0
    if header.strip().isdecimal():
        return float(header)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0


def _stated(raw: bytes) -> str:
    """What a server says of a fault: {"error": {"message": ...}}, {"message": ...}, or its text."""
    try:
        value = reading.json(raw, "")
    except InputError:
        return raw[: 4 * _SHOWN].decode("utf-8", "replace").strip()
    for key in ("error", "message"):
        value = value.get(key, value) if isinstance(value, dict) else value
    return value if isinstance(value, str) else ""
