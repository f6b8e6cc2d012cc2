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
from tinsmith.serve import server
from tinsmith.serve.limits import Limits
from tinsmith.serve.state import AppState, load_models

CONTEXT = 16384  # tokens that the tiny models have
ASKED = [{"role": "user", "content": "in the"}]


@dataclass
class Running:
    """A server, and the same files opened once more beside it."""

    port: int
    state: AppState
    alone: dict[str, Model]
    connections: set[Any]  # that are open

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def idle(self, seconds: float = 20) -> bool:
        """Waits until no answer is in flight; False after so many seconds."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            workers = [one.worker for one in self.state.models]
            if not any(worker.in_flight or worker.running for worker in workers):
                return True
            time.sleep(0.01)
        return False


@contextmanager
def running(files: list[Path], limits: Limits | None = None, **options: Any) -> Iterator[Running]:
    state, made = server.create_server(load_models(files, threads=1), limits or Limits(), **options)
    with server.listen("127.0.0.1", 0) as bound:
        thread = threading.Thread(target=made.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        while not made.started:
            time.sleep(0.005)
        try:
            alone = {path.stem: model for path, model in load_models(files, threads=1)}
            yield Running(bound.getsockname()[1], state, alone, made.server_state.connections)
        finally:
            made.should_exit = True
            thread.join()


def raw(port: int, data: bytes, seconds: float = 10) -> bytes:
    """The server's response to these bytes, until it closes."""
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
