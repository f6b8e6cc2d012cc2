"""A server on loopback that speaks OpenAI's API as a script says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from time import sleep  # its own: tests stand in for time.sleep
from typing import Any


@dataclass
class Reply:
    """raw: sent in place of a whole HTTP response. pause: seconds before it, or before each byte where `drips`.
    short: bytes that are promised and never come."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    pause: float = 0.0
    drips: bool = False
    short: int = 0


def says(text: str, *, finish: str = "stop") -> Reply:
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage}
    return Reply(json.dumps(body).encode())


Script = Callable[[dict[str, Any]], Reply]


class Server(ThreadingHTTPServer):
    """script: a reply to each request's body. asked: those bodies; headers: what came with them."""

    daemon_threads = True

    def __init__(self, script: Script) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script = script
        self.asked: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, *_: Any) -> None:
        pass  # a client that gave up


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(body)
        self.server.paths.append(self.path)
        self.server.headers.append(dict(self.headers))
        reply = self.server.script(body)
        if not reply.drips:
            sleep(reply.pause)
        if reply.raw is not None:
            self.wfile.write(reply.raw)
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body) + reply.short))
        self.end_headers()
        for byte in reply.body if reply.drips else ():
            self.wfile.write(bytes([byte]))
            sleep(reply.pause)
        if not reply.drips:
            self.wfile.write(reply.body)


@contextmanager
def serving(script: Script) -> Iterator[Server]:
    server = Server(script)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def in_order(*replies: Reply) -> Script:
    """Each in turn; the last one ever after."""
    waiting = list(replies)
    return lambda _: waiting.pop(0) if len(waiting) > 1 else waiting[0]
