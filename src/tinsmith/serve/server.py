"""Runs the server: sockets, TLS, limits of connections."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from tinsmith.checks import whole
from tinsmith.errors import InputError
from tinsmith.runtime.loaded import Loaded
from tinsmith.serve.app import create_app
from tinsmith.serve.fair_queue import Shares
from tinsmith.serve.guard import Guard, client_address, is_loopback
from tinsmith.serve.limits import Limits
from tinsmith.serve.state import AppState, ServedModel, load_models

_HEAD = 32 << 10  # bytes of a request's line and headers
_SHUTDOWN_SECONDS = 10  # for answers in flight
_SEND_BUFFER = 128 << 10  # bytes of an answer that the system buffers for a client
_SWITCH_SECONDS = 0.001  # Python's default is 0.005
_ADDRESS_SHARE = 4  # an address has at most 1/this of the connections
_MIN_READ = 16 << 10  # bytes of an answer that a client must read in write_seconds
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 22\r\n"
    b"Retry-After: 1\r\nConnection: close\r\n\r\ntoo many connections\r\n"
)


def protocol(limits: Limits) -> type[H11Protocol]:
    """HTTP/1.1 with limits of connections, and of the time to send a request's head and to read an answer."""
    connections = Shares()  # by address

    class Limited(H11Protocol):
        _head_timer: asyncio.TimerHandle | None = None
        _write_timer: asyncio.TimerHandle | None = None
        _address = ""
        _unread = 0  # bytes in the write buffer at the last check

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            own_socket = transport.get_extra_info("socket")
            if own_socket is not None:  # with a small buffer, it shows soon that a client does not read
                own_socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
            # Calls pause_writing for any byte that is not sent at once. With TLS, 0 means always full.
            transport.set_write_buffer_limits(high=1 if self.scheme == "https" else 0, low=0)
            self._address = client_address(self.client)
            connections[self._address] += 1
            own = connections[self._address]
            if connections.total() > limits.connections or own > limits.connections // _ADDRESS_SHARE:
                transport.write(_FULL)
                transport.close()
            else:
                self._start_head_timer()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is None or self.cycle.response_complete:
                self._start_head_timer()
            else:
                self._stop_head_timer()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_head_timer()
            connections.release(self._address)
            super().connection_lost(exc)
            self.resume_writing()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._unread = self.transport.get_write_buffer_size()
            self._write_timer = self._write_timer or self.loop.call_later(
                limits.write_seconds, self._check_reader
            )

        def resume_writing(self) -> None:
            super().resume_writing()
            if self._write_timer is not None:
                self._write_timer.cancel()
                self._write_timer = None

        def _check_reader(self) -> None:
            """Ends the connection of a client that reads next to nothing."""
            before, self._unread = self._unread, self.transport.get_write_buffer_size()
            if before - self._unread < _MIN_READ:
                self.transport.abort()
            else:
                self._write_timer = self.loop.call_later(limits.write_seconds, self._check_reader)

        def _start_head_timer(self) -> None:
            if self._head_timer is None:
                self._head_timer = self.loop.call_later(limits.read_seconds, self.transport.close)

        def _stop_head_timer(self) -> None:
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None

    return Limited


def check_tls(cert: str, key: str) -> None:
    """Raises InputError for a certificate and key that TLS cannot use."""
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
    except OSError as error:  # SSLError is one
        raise InputError(
            f"{cert} and {key}: not a certificate with its key ({error.strerror or error}); give both in PEM, "
            "the key without a password"
        ) from None


def config(app: ASGIApp, limits: Limits, **tls: Any) -> uvicorn.Config:
    """tls: uvicorn's ssl_keyfile, ssl_certfile and ssl_keyfile_password, where given."""
    # The event loop waits this long for the interpreter while a thread parses a large request.
    sys.setswitchinterval(_SWITCH_SECONDS)
    return uvicorn.Config(
        app,
        http=protocol(limits),
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        # Longer than clients keep idle connections: otherwise the server might close one while they reuse it.
        timeout_keep_alive=max(1, min(15, int(limits.read_seconds))),
        h11_max_incomplete_event_size=_HEAD,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        **tls,
    )


def raise_file_limit(count: int) -> None:
    """Raises the limit of open files to `count`, or as far as the system allows: a connection needs one."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        unbounded = resource.RLIM_INFINITY
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft not in (unbounded, hard) and soft < count:
            resource.setrlimit(resource.RLIMIT_NOFILE, (count if hard == unbounded else min(count, hard), hard))


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; port 0: a free port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY where the protocol is named.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name == "posix":  # elsewhere it lets two servers share the port
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((host, port))
    bound.setblocking(False)
    return bound


def create_server(
    models: Sequence[tuple[Path, Loaded]],
    limits: Limits,
    *,
    slots: int = 8,
    context: int | None = None,
    keys: Sequence[str] = (),
    origins: Sequence[str] = (),
    local: bool = True,
    tls: Mapping[str, Any] | None = None,
) -> tuple[AppState, uvicorn.Server]:
    """local: it will listen on the loopback."""
    state = AppState([ServedModel(path, model, slots, context, limits) for path, model in models], limits)
    app = create_app(state, Guard(keys, origins, local, limits), origins)
    return state, uvicorn.Server(config(app, limits, **(tls or {})))


def serve(
    files: Sequence[str],
    loading: Mapping[str, Any],
    limits: Limits,
    *,
    host: str,
    port: int,
    say: Callable[[str], None],
    **options: Any,
) -> int:
    """Serves until the process is told to end. loading: options of tinsmith.load. options: of create_server."""
    if tls := options.get("tls"):
        check_tls(tls["ssl_certfile"], tls["ssl_keyfile"])
    port = whole("port", port, 0, 65535)
    try:
        bound = listen(host, port)
    except OSError as error:
        other = "--port" if error.errno == errno.EADDRINUSE else "--host or --port"
        raise InputError(f"{host}:{port}: cannot listen: {error.strerror}; give another {other}") from None
    local = is_loopback(host)
    state, server = create_server(load_models(files, **loading), limits, local=local, **options)
    raise_file_limit(2 * limits.connections)
    with bound:
        scheme = "https" if tls else "http"
        shown = f"[{host}]" if ":" in host else host
        bound.listen()  # before the message, after which clients connect
        say(f"serving {', '.join(state.refs)} at {scheme}://{shown}:{bound.getsockname()[1]}/")
        if not local and not options.get("keys"):
            say("warning: other machines can send requests without an API key (--insecure)")
        server.run(sockets=[bound])
    return 0
