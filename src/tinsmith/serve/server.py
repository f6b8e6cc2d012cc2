"""The server's own process: sockets, time limits of connections, its end."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from tinsmith.errors import InputError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from tinsmith.serve.limits import Limits

_HEAD = 32 << 10  # bytes of a request's line and headers
_GRACE = 10  # seconds that answers have to end when the server does


def protocol(seconds: float) -> type[H11Protocol]:
    """HTTP/1.1 that waits so long for a request's head, and no longer."""

    class Patient(H11Protocol):
        _late: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is None or self.cycle.response_complete:
                self._watch()
            else:
                self._stop()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop()
            super().connection_lost(exc)

        def _watch(self) -> None:
            if self._late is None:
                self._late = self.loop.call_later(seconds, self.transport.close)

        def _stop(self) -> None:
            if self._late is not None:
                self._late.cancel()
                self._late = None

    return Patient


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
    return uvicorn.Config(
        app,
        http=protocol(limits.reading),
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        # Longer than clients keep a connection that is idle, or it may be closed while they take it up again.
        timeout_keep_alive=max(1, min(15, int(limits.reading))),
        limit_concurrency=limits.connections,
        h11_max_incomplete_event_size=_HEAD,
        timeout_graceful_shutdown=_GRACE,
        **tls,
    )


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound; port 0: a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    if os.name == "posix":  # elsewhere it lets a second server have the port
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((host, port))
    bound.setblocking(False)
    return bound
