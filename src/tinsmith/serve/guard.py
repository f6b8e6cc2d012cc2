"""What stands before every request: its host, its origin, its key, its size, and its time."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith.errors import InputError
from tinsmith.serve.faults import Refused
from tinsmith.system import reading

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Message, Receive

    from tinsmith.serve.limits import Limits

_LEAST_KEY = 16  # characters
_NEAR = (".localhost", ".local", ".internal", ".lan", ".home.arpa")
_OWN, _ALL = 16, 64  # largest bodies that one client, and all, may have under way


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


def _is_near(name: str) -> bool:
    """Whether it is an address, or a name that no public server of names knows."""
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return "." not in name or name.endswith(_NEAR)
    return True


class Guard:
    def __init__(self, keys: Sequence[str], origins: Sequence[str], local: bool, limits: Limits) -> None:
        """keys: none where anybody may ask. origins: of pages that may ask. local: the server is bound to the
        loopback, and answers to its names alone."""
        self._keys = [_digest(key) for key in keys]
        self._origins, self._local, self._limits = set(origins), local, limits
        self._hosts = {_name(origin.partition("://")[2]) for origin in origins}
        self._taken: Counter[str] = Counter()  # bytes of bodies that are read or worked on, by scope

    def check(self, request: Request, open: bool) -> str:
        """The scope of a request: its key's, or its address where it has none. Raises Refused. open: for a
        route that needs no key."""
        host = request.headers.get("host", "")
        self._check_host(_name(host))
        origin = request.headers.get("origin")
        if origin is not None and not self._allowed(origin, host):
            raise Refused(403, f"pages of {origin[:100]} may not ask; --cors allows them", code="bad_origin")
        if not self._keys:
            return address(request.scope.get("client"))
        given = _digest(_key(request))
        # Every key is compared, and all of it, whatever agrees.
        found = [key for key in self._keys if hmac.compare_digest(key, given)]
        if found:
            return found[0].hex()[:32]
        if open:
            return address(request.scope.get("client"))
        raise Refused(401, "give one of the server's keys: Authorization: Bearer KEY", code="invalid_api_key")

    def _check_host(self, name: str) -> None:
        """A page of somebody else's may have led a name of its own here, and the browser takes both for one."""
        if self._local and not is_loopback(name):
            raise Refused(403, "this server answers to the names of the loopback alone", code="bad_host")
        if not self._local and not self._keys and not _is_near(name) and name not in self._hosts:
            raise Refused(
                403,
                f"without keys, this server answers to addresses and local names, not to {name[:100]}; "
                "--cors allows it",
                code="bad_host",
            )

    def _allowed(self, origin: str, host: str) -> bool:
        return bool({"*", origin} & self._origins) or origin.partition("://")[2].lower() == host.lower()

    @asynccontextmanager
    async def body(self, request: Request, receive: Receive, scope: str, due: bool) -> AsyncIterator[bytes]:
        """What a request brings, which counts as the scope's within the block. due: whether the route has a
        body. Raises Refused for one that is too large, that does not come, or that is too much for now."""
        most = self._limits.body if due else 0
        stated = request.headers.get("content-length", "")
        if stated.isdecimal() and int(stated) > most:
            raise _too_large(most)
        data = bytearray()
        try:
            await self._read(receive, scope, data, most)
            yield bytes(data)
        finally:
            self._taken[scope] -= len(data)
            if not self._taken[scope]:
                del self._taken[scope]

    async def _read(self, receive: Receive, scope: str, data: bytearray, most: int) -> None:
        try:
            async with asyncio.timeout(self._limits.reading):
                more = True
                while more:
                    message: Message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ConnectionAbortedError
                    piece = message.get("body", b"")
                    data += piece
                    self._taken[scope] += len(piece)
                    more = message.get("more_body", False)
                    if len(data) > most:
                        raise _too_large(most)
                    self._check_taken(scope)
        except TimeoutError:
            raise Refused(
                408, f"the body did not come in {self._limits.reading:g} seconds", code="timeout"
            ) from None

    def _check_taken(self, scope: str) -> None:
        """Raises Refused where a client's bodies, or all, are more than what is kept of them at once."""
        most = self._limits.body
        if self._taken[scope] > _OWN * most:
            status, code = 429, "rate_limit_exceeded"
        elif self._taken.total() > _ALL * most:
            status, code = 503, "overloaded"
        else:
            return
        raise Refused(status, "too many large requests are under way; ask again later", code=code, after=1)


def address(client: Sequence[Any] | None) -> str:
    """Whose an address is: one network of IPv6 is one client, who may have any address in it."""
    try:
        known = ipaddress.ip_address(str(client[0]).partition("%")[0]) if client else None
    except ValueError:
        known = None
    if known is None:
        return ""
    if known.version == 6:
        mapped = known.ipv4_mapped
        return str(mapped or ipaddress.ip_network((int(known), 64), strict=False).network_address)
    return str(known)


def _too_large(most: int) -> Refused:
    message = f"the body is larger than {most:,} bytes" if most else "this path takes no body; leave it out"
    return Refused(413, message, code="too_large")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def _key(request: Request) -> str:
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if kind.lower() == "bearer" else request.headers.get("x-api-key", "")


def _name(host: str) -> str:
    """A Host header's name in small letters, without the port; all of what is none."""
    found = re.fullmatch(r"(\[[^]]*\]|[^:]*)(:[0-9]*)?", host)
    return (found[1] if found else host).lower()
