"""The server's own process: sockets, time limits of connections, its end."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from tinsmith.errors import InputError
from tinsmith.serve.guard import address

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from tinsmith.serve.limits import Limits

_HEAD = 32 << 10  # bytes of a request's line and headers
_GRACE = 10  # seconds that answers have to end when the server does
_SENDING = 128 << 10  # bytes of an answer that the system holds until a client takes them
_SWITCH = 0.001  # seconds; five times that is Python's own
_SHARE = 4  # one address has at most this part of the connections
_LEAST = 16 << 10  # bytes of an answer that a client takes in the time for that, or it is dropped
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 40\r\n"
    b"Retry-After: 1\r\nConnection: close\r\n\r\nthere are too many connections already\r\n"
)


def protocol(limits: Limits) -> type[H11Protocol]:
    """HTTP/1.1 with limits: of the time for a request's head and for taking an answer, and of connections."""
    held: Counter[str] = Counter()  # connections by address

    class Limited(H11Protocol):
        _late: asyncio.TimerHandle | None = None
        _stalled: asyncio.TimerHandle | None = None
        _whose = ""
        _left = 0  # bytes that were still to be taken when last looked at

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            own_socket = transport.get_extra_info("socket")
            if own_socket is not None:  # what the system holds for a client is small, and known to be taken
                own_socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SENDING)
            # Whatever is not taken at once is waited for, with a limit. TLS takes 0 for always full.
            transport.set_write_buffer_limits(high=1 if self.scheme == "https" else 0, low=0)
            self._whose = address(self.client)
            held[self._whose] += 1
            if held.total() > limits.connections or held[self._whose] > limits.connections // _SHARE:
                transport.write(_FULL)
                transport.close()
            else:
                self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is None or self.cycle.response_complete:
                self._watch()
            else:
                self._stop()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop()
            held[self._whose] -= 1
            if not held[self._whose]:
                del held[self._whose]
            super().connection_lost(exc)
            self.resume_writing()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._left = self.transport.get_write_buffer_size()
            self._stalled = self._stalled or self.loop.call_later(limits.writing, self._look)

        def resume_writing(self) -> None:
            super().resume_writing()
            if self._stalled is not None:
                self._stalled.cancel()
                self._stalled = None

        def _look(self) -> None:
            """Ends the connection where the client takes next to nothing."""
            taken, self._left = self._left, self.transport.get_write_buffer_size()
            if taken - self._left < _LEAST:
                self.transport.abort()
            else:
                self._stalled = self.loop.call_later(limits.writing, self._look)

        def _watch(self) -> None:
            if self._late is None:
                self._late = self.loop.call_later(limits.reading, self.transport.close)

        def _stop(self) -> None:
            if self._late is not None:
                self._late.cancel()
                self._late = None

    return Limited


def check_tls(cert: str, key: str) -> None:
    """Raises InputError for what is no certificate in PEM with its key, or a key that needs a password."""
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
    except OSError as error:  # SSLError is one
        raise InputError(
            f"{cert} and {key}: no certificate with its key ({error.strerror or error}); give both in PEM, "
            "the key without a password"
        ) from None


def config(app: ASGIApp, limits: Limits, **tls: Any) -> uvicorn.Config:
    """tls: uvicorn's ssl_keyfile, ssl_certfile and ssl_keyfile_password, where given."""
    # For as long the event loop waits at each step for a thread that reads a large request.
    sys.setswitchinterval(_SWITCH)
    return uvicorn.Config(
        app,
        http=protocol(limits),
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        # Longer than clients keep a connection that is idle, or it may be closed while they take it up again.
        timeout_keep_alive=max(1, min(15, int(limits.reading))),
        h11_max_incomplete_event_size=_HEAD,
        timeout_graceful_shutdown=_GRACE,
        **tls,
    )


def allow_files(count: int) -> None:
    """Has the system give this process so many open files, or as many as it may have: without one for each
    connection, nobody else is let in once they are used up."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        unbounded = resource.RLIM_INFINITY
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft not in (unbounded, hard) and soft < count:
            resource.setrlimit(resource.RLIMIT_NOFILE, (count if hard == unbounded else min(count, hard), hard))


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound; port 0: a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio lets small pieces go at once (TCP_NODELAY) where the protocol is named.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name == "posix":  # elsewhere it lets a second server have the port
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((host, port))
    bound.setblocking(False)
    return bound
