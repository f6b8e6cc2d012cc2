"""What stands before every request: its host, its origin, its key, its size, and its time."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tinsmith.errors import InputError
from tinsmith.serve.faults import Refused
from tinsmith.system import reading

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Message, Receive

    from tinsmith.serve.limits import Limits

_LEAST_KEY = 16  # characters


def read_keys(path: str | Path) -> list[str]:
    """A key a line; # begins a comment. Raises InputError for a key that is short, or none at all."""
    keys = []
    for number, line in enumerate(reading.read_text(path, most=reading.SMALL).splitlines(), 1):
        key = line.partition("#")[0].strip()
        if not key:
            continue
        if len(key) < _LEAST_KEY or not key.isascii() or not key.isprintable() or " " in key:
            raise InputError(
                f"{path}:{number}: a key has at least {_LEAST_KEY} printable characters and no blank; "
                "such as: openssl rand -hex 32"
            )
        keys.append(key)
    if not keys:
        raise InputError(f"{path}: holds no key; give one a line")
    return keys


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Guard:
    def __init__(self, keys: Sequence[str], origins: Sequence[str], local: bool, limits: Limits) -> None:
        """keys: none where anybody may ask. origins: of pages that may ask. local: the server is bound to the
        loopback, and answers to its names alone: a name of somebody else's may have been led here."""
        self._keys = [_digest(key) for key in keys]
        self._origins, self._local, self._limits = set(origins), local, limits

    def check(self, request: Request, open: bool) -> str:
        """The scope of a request. Raises Refused. open: for a route that needs no key."""
        host = request.headers.get("host", "")
        if self._local and not is_loopback(_name(host)):
            raise Refused(403, "this server answers to the names of the loopback alone", code="bad_host")
        origin = request.headers.get("origin")
        if origin is not None and not self._allowed(origin, host):
            raise Refused(403, f"pages of {origin[:100]} may not ask; --cors allows them", code="bad_origin")
        if not self._keys:
            return ""
        given = _digest(_key(request))
        # Every key is compared, and all of it, whatever agrees.
        found = [key for key in self._keys if hmac.compare_digest(key, given)]
        if found:
            return found[0].hex()[:32]
        if open:
            return ""
        raise Refused(401, "give one of the server's keys: Authorization: Bearer KEY", code="invalid_api_key")

    def _allowed(self, origin: str, host: str) -> bool:
        return bool({"*", origin} & self._origins) or origin.partition("://")[2].lower() == host.lower()

    async def body(self, request: Request, receive: Receive) -> bytes:
        """Raises Refused for one that is too large, or does not come."""
        most = self._limits.body
        stated = request.headers.get("content-length", "")
        if stated.isdecimal() and int(stated) > most:
            raise _too_large(most)
        data = bytearray()
        try:
            async with asyncio.timeout(self._limits.reading):
                more = True
                while more:
                    message: Message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ConnectionAbortedError
                    data += message.get("body", b"")
                    more = message.get("more_body", False)
                    if len(data) > most:
                        raise _too_large(most)
        except TimeoutError:
            raise Refused(
                408, f"the body did not come in {self._limits.reading:g} seconds", code="timeout"
            ) from None
        return bytes(data)


def _too_large(most: int) -> Refused:
    return Refused(413, f"the body is larger than {most:,} bytes", code="too_large")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def _key(request: Request) -> str:
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if kind.lower() == "bearer" else request.headers.get("x-api-key", "")


def _name(host: str) -> str:
    """A Host header's name, without the port."""
    return host[: host.rfind("]") + 1] if host.startswith("[") else host.partition(":")[0]
