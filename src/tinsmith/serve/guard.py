"""Checks of every request before its handler: host, origin, API key, size, time."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.types import Message, Receive

from tinsmith.errors import InputError
from tinsmith.serve.errors import ApiError, overloaded, rate_limited
from tinsmith.serve.fair_queue import Shares
from tinsmith.serve.limits import Limits
from tinsmith.system import reading

_MIN_KEY = 16  # characters
_LOCAL = (".localhost", ".local", ".internal", ".lan", ".home.arpa")
_PER_CLIENT, _TOTAL = 16, 64  # bodies of maximum size in flight, of one client and of all


def read_keys(path: str | Path) -> list[str]:
    """One API key per line; # begins a comment."""
    keys = []
    for number, line in enumerate(reading.read_text(path, most=reading.SMALL).splitlines(), 1):
        key = line.partition("#")[0].strip()
        if not key:
            continue
        if len(key) < _MIN_KEY or not key.isascii() or not key.isprintable() or " " in key:
            raise InputError(
                f"{path}:{number}: a key needs at least {_MIN_KEY} printable ASCII characters without spaces; "
                "openssl rand -hex 32 makes one"
            )
        keys.append(key)
    if not keys:
        raise InputError(f"{path}: no key; give one per line")
    return keys


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_local_name(name: str) -> bool:
    """An IP address, or a name that public DNS does not resolve."""
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return "." not in name or name.endswith(_LOCAL)
    return True


class Guard:
    def __init__(self, keys: Sequence[str], origins: Sequence[str], local: bool, limits: Limits) -> None:
        """keys: none where no key is needed. origins: of web pages that may send requests. local: the server
        listens on the loopback, and accepts its names only."""
        self._keys = [_digest(key) for key in keys]
        self._origins, self._local, self._limits = set(origins), local, limits
        self._hosts = {_name(origin.partition("://")[2]) for origin in origins}
        self._in_flight = Shares()  # bytes of bodies

    def client(self, request: Request, *, public: bool) -> str:
        """The client's identity: of its API key, else its address. public: the route needs no key."""
        host = request.headers.get("host", "")
        self._check_host(_name(host))
        origin = request.headers.get("origin")
        if origin is not None and not self._allowed(origin, host):
            message = f"pages of {origin[:100]} may not send requests; --cors allows an origin"
            raise ApiError(403, message, code="bad_origin")
        given = _digest(_key(request))
        # In constant time: compares every key, and each in full.
        found = [key for key in self._keys if hmac.compare_digest(key, given)]
        if found:
            return found[0].hex()[:32]
        if self._keys and not public:
            raise ApiError(401, "unknown API key; send Authorization: Bearer KEY", code="invalid_api_key")
        return client_address(request.scope.get("client"))

    def _check_host(self, name: str) -> None:
        """Against DNS rebinding: an attacker's page whose name resolves to this server."""
        if self._local and not is_loopback(name):
            raise ApiError(
                403, "this server accepts names of the loopback only, such as localhost", code="bad_host"
            )
        if not self._local and not self._keys and not _is_local_name(name) and name not in self._hosts:
            message = f"without API keys, this server accepts addresses and local names only, not {name[:100]}"
            raise ApiError(403, f"{message}; --cors allows it", code="bad_host")

    def _allowed(self, origin: str, host: str) -> bool:
        return bool({"*", origin} & self._origins) or origin.partition("://")[2].lower() == host.lower()

    @asynccontextmanager
    async def body(
        self, request: Request, receive: Receive, client: str, *, allowed: bool
    ) -> AsyncIterator[bytes]:
        """The request's body, counted as in flight within the block. allowed: the route takes a body."""
        limit = self._limits.body if allowed else 0
        stated = request.headers.get("content-length", "")
        if stated.isdecimal() and int(stated) > limit:
            raise _too_large(limit)
        data = bytearray()
        try:
            await self._read(receive, client, data, limit)
            yield bytes(data)
        finally:
            self._in_flight.release(client, len(data))

    async def _read(self, receive: Receive, client: str, data: bytearray, limit: int) -> None:
        try:
            async with asyncio.timeout(self._limits.read_seconds):
                more = True
                while more:
                    message: Message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ConnectionAbortedError
                    piece = message.get("body", b"")
                    data += piece
                    self._in_flight[client] += len(piece)
                    more = message.get("more_body", False)
                    if len(data) > limit:
                        raise _too_large(limit)
                    self._check_in_flight(client)
        except TimeoutError:
            seconds = self._limits.read_seconds
            raise ApiError(408, f"the body did not arrive in {seconds:g} seconds", code="timeout") from None

    def _check_in_flight(self, client: str) -> None:
        if self._in_flight[client] > _PER_CLIENT * self._limits.body:
            raise rate_limited("too many large requests of this client are in flight")
        if self._in_flight.total() > _TOTAL * self._limits.body:
            raise overloaded("too many large requests are in flight")


def client_address(client: Sequence[Any] | None) -> str:
    """An IPv6 client owns a /64 network, which counts as one address."""
    if not client:
        return ""
    try:
        known = ipaddress.ip_address(str(client[0]).partition("%")[0])
    except ValueError:
        return ""
    if known.version == 6:
        mapped = known.ipv4_mapped
        return str(mapped or ipaddress.ip_network((int(known), 64), strict=False).network_address)
    return str(known)


def _too_large(limit: int) -> ApiError:
    message = f"the body exceeds {limit:,} bytes" if limit else "this path takes no body; leave it out"
    return ApiError(413, message, code="too_large")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def _key(request: Request) -> str:
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if kind.lower() == "bearer" else request.headers.get("x-api-key", "")


def _name(host: str) -> str:
    """A Host header's name in lower case, without the port. A malformed header stays whole."""
    found = re.fullmatch(r"(\[[^]]*\]|[^:]*)(:[0-9]*)?", host)
    return (found[1] if found else host).lower()
