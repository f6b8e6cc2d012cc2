"""Beside any request within the limits, /health and a chat of another client are answered as fast as alone, in
memory that is bounded: requests that /openapi.json allows, as large as they may be, and as wrong."""

from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serve import bodies
from tests.serve.bodies import Large
from tests.serve.served import ASKED, post

KEYS = ["a-key-of-some-length", "another-key-of-some-length"]
SLOWER = 0.5  # seconds beside what it takes alone
MEMORY = 128  # times a body's limit, beyond what the server takes at first and 32 MiB: docs/serving.md
LONGEST = 4.0  # seconds that a request of ours is waited for
CHAT = {"model": "tiny", "messages": ASKED, "max_tokens": 1}


@dataclass
class Server:
    port: int
    pid: int
    document: dict[str, Any]

    @property
    def memory(self) -> int:
        """The most that it had in memory, in bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found
        return int(found[1]) << 10


@contextmanager
def serving(files: Sequence[Path], keys: Path, limit: int) -> Iterator[Server]:
    """In a process of its own."""
    keys.write_text("\n".join(KEYS))
    words = ["--port", "0", "--threads", "1", "--max-body", str(limit), "--api-key-file", str(keys)]
    command = [sys.executable, "-m", "tinsmith", "serve", *map(str, files), *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            found = re.search(r"http://127.0.0.1:(\d+)", process.stderr.readline())
            assert found
            port = int(found[1])
            headers = {"x-api-key": KEYS[1]}
            document = httpx.get(f"http://127.0.0.1:{port}/openapi.json", headers=headers, timeout=60).json()
            yield Server(port, process.pid, document)
        finally:
            process.terminate()


def another(server: Server, times: dict[str, float], over: threading.Event) -> None:
    """The longest that another client waits, until it is over; it asks once at least."""
    while True:
        for path, body in (("/health", None), ("/v1/chat/completions", json.dumps(CHAT))):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
            headers = {"x-api-key": KEYS[1]} if body else {}
            begun = time.monotonic()
            connection.request("POST" if body else "GET", path, body, headers)
            answer = connection.getresponse()
            answer.read()
            times[path] = max(times.get(path, 0.0), time.monotonic() - begun)
            assert answer.status == 200
            connection.close()
        if over.is_set():
            return


@contextmanager
def watched(server: Server) -> Iterator[dict[str, float]]:
    times: dict[str, float] = {}
    over = threading.Event()
    thread = threading.Thread(target=another, args=(server, times, over))
    thread.start()
    try:
        yield times
    finally:
        over.set()
        thread.join()
    assert len(times) == 2


def status(server: Server, large: Large) -> int | None:
    """None: it was not waited for any longer."""
    data = post(large.path, large.body, f"x-api-key: {KEYS[0]}", "Content-Type: application/json")
    address = ("127.0.0.1", server.port)
    with suppress(TimeoutError), socket.create_connection(address, timeout=LONGEST) as connection:
        connection.sendall(data)
        return int(connection.recv(12)[9:])
    return None


def busyness() -> float:
    """How many times as long as on an idle machine something takes now, because of other programs."""
    begun, computed = time.monotonic(), time.thread_time()
    while time.thread_time() < computed + 0.02:
        pass
    return (time.monotonic() - begun) / (time.thread_time() - computed)


def delays(server: Server, large: Large) -> list[str]:
    """What takes too long beside a request, in each of several tries, and much longer than alone then."""
    late: list[str] = []
    for _ in range(4):
        with watched(server) as alone:
            time.sleep(0.1)
        busy = busyness()
        with watched(server) as beside:
            said = status(server, large)
        allowed = SLOWER * max(1.0, busy, busyness())
        assert said is None or said in (200, 400, 413), (large.name, said)
        assert not (large.wrong and said == 200), large.name
        late = [
            f"{large.name}: {path} {beside[path]:.2f} s"
            for path in alone
            if beside[path] > alone[path] + allowed
        ]
        if not late:
            break
    return late


@pytest.mark.parametrize(
    ("limit", "parts"),
    [(1 << 18, False), pytest.param(4 << 20, True, marks=pytest.mark.slow)],
    ids=["small", "whole"],
)
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is looked up as Linux tells it")
def test_no_request_delays_another_client(files: list[Path], tmp_path: Path, limit: int, parts: bool) -> None:
    with serving(files[:1], tmp_path / "keys", limit) as server:
        kinds = bodies.heaviest(bodies.all_of(server.document, 1 << 14), parts)
        paths = [path for path, made in server.document["paths"].items() if "post" in made]
        assert {one.path for one in kinds if one.wrong} == set(paths)
        assert {one.path for one in kinds if not one.wrong} == set(paths) - {"/api/show"}  # which has none
        late: list[str] = []
        first, most = server.memory, (0, "")
        for kind in kinds:
            (large,) = bodies.all_of(server.document, limit, [kind])
            late += delays(server, large)
            most = max(most, (server.memory, large.name))
        assert not late, "\n".join(late)
        assert most[0] - first < MEMORY * limit + (32 << 20), most


def test_openapi_describes_each_body_by_its_own_model() -> None:
    """Two interfaces have models of one name."""
    from tinsmith.serve import app, openapi

    document = openapi.document(app.ENDPOINTS, ["tiny"])
    for one in app.ENDPOINTS:
        if one.body is not None:
            content = document["paths"][one.path]["post"]["requestBody"]["content"]
            name = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
            fields = {field.alias or key for key, field in one.body.model_fields.items()}
            assert document["components"]["schemas"][name]["properties"].keys() == fields
