"""A server in a thread of the tests' process, and raw connections to it."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinsmith.runtime import Model
from tinsmith.serve import run, server, shelf
from tinsmith.serve.house import House
from tinsmith.serve.limits import Limits

CONTEXT = 16384  # tokens that the tiny models have
ASKED = [{"role": "user", "content": "in the"}]


@dataclass
class Running:
    """house: the server's own, for looking at. alone: the same files, opened once more. connections: that are
    open."""

    port: int
    house: House
    alone: dict[str, Model]
    connections: set[Any]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def idle(self, seconds: float = 20) -> bool:
        """Whether every answer comes to an end."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            workers = [one.worker for one in self.house.shelf.served]
            if not any(worker.open or worker.running for worker in workers):
                return True
            time.sleep(0.01)
        return False


@contextmanager
def running(files: list[Path], limits: Limits | None = None, **options: Any) -> Iterator[Running]:
    loaded = shelf.opened(files, threads=1)
    house, made = run.prepared(loaded, limits or Limits(), **options)
    with server.listen("127.0.0.1", 0) as bound:
        thread = threading.Thread(target=made.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        while not made.started:
            time.sleep(0.005)
        try:
            alone = {path.stem: model for path, model in shelf.opened(files, threads=1)}
            yield Running(bound.getsockname()[1], house, alone, made.server_state.connections)
        finally:
            made.should_exit = True
            thread.join()


def raw(port: int, data: bytes, seconds: float = 10) -> bytes:
    """What the server says to these bytes, until it closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        connection.sendall(data)
        said = b""
        while piece := connection.recv(65536):
            said += piece
        return said


def post(path: str, body: Any, *headers: str) -> bytes:
    """A request as it goes over the wire."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(data)}", "Connection: close"]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + data
