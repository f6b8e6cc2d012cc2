"""Servers to measure, ours and llama-cpp-python's, and clients that ask them."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import Any

import httpx

WORDS = [
    "the",
    "of",
    "and",
    "to",
    "in",
    "a",
    "is",
    "that",
    "for",
    "it",
    "as",
    "was",
    "with",
    "be",
    "by",
    "on",
    "not",
    "he",
    "his",
    "but",
    "at",
    "are",
    "this",
    "have",
    "from",
    "or",
    "had",
]


@dataclass
class Server:
    """model: its name there. process: to look at its memory."""

    url: str
    model: str
    process: subprocess.Popen[str]

    @property
    def memory(self) -> int:
        """Bytes that it holds."""
        status = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmRSS"))


@contextmanager
def ours(file: str, *options: str) -> Iterator[Server]:
    command = [sys.executable, "-m", "tinsmith", "serve", file, "--port", "0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        try:
            said = process.stderr.readline()
            found = re.search(r"serving ([^,\s]+).* at (http://[\d.]+:\d+)", said)
            assert found, said + process.stderr.read()
            # What it says is passed on: with a full pipe it would stop.
            Thread(target=shutil.copyfileobj, args=(process.stderr, sys.stderr), daemon=True).start()
            yield Server(found[2], found[1], process)
        finally:
            process.terminate()


@contextmanager
def theirs(file: str, threads: int, context: int) -> Iterator[Server]:
    """llama-cpp-python's own server; it answers one request at a time."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "llama_cpp.server", "--model", file, "--port", str(port)]
    command += ["--n_ctx", str(context), "--n_threads", str(threads), "--n_threads_batch", str(threads)]
    command += ["--verbose", "false", "--interrupt_requests", "false"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            for _ in range(600):
                assert process.poll() is None, "llama_cpp.server ended"
                try:
                    listed = httpx.get(f"{url}/v1/models").json()["data"]
                    break
                except httpx.TransportError:
                    time.sleep(0.1)
            yield Server(url, listed[0]["id"], process)
        finally:
            process.terminate()


def words(count: int, seed: int) -> str:
    """A text that shares no beginning with those of other seeds."""
    state, chosen = seed * 2654435761 + 1, []
    for _ in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        chosen.append(WORDS[(state >> 33) % len(WORDS)])
    return " ".join([str(seed), *chosen])


@dataclass
class Asked:
    """One answer as it came. times: seconds of the clock, at which pieces of it did. tokens: as the server
    counts them, or else pieces."""

    begun: float
    times: list[float] = field(default_factory=list)
    text: str = ""
    tokens: int = 0

    @property
    def first(self) -> float:
        return self.times[0] - self.begun


async def stream(client: httpx.AsyncClient, server: Server, prompt: str, most: int, usage: bool) -> Asked:
    body: dict[str, Any] = {
        "model": server.model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": most,
        "temperature": 0,
        "stream": True,
    }
    body |= {"stream_options": {"include_usage": True}} if usage else {}
    asked = Asked(time.perf_counter())
    async with client.stream("POST", f"{server.url}/v1/chat/completions", json=body) as response:
        async for line in response.aiter_lines():
            if not line.startswith("data: {"):
                continue
            event = json.loads(line[6:])
            if "error" in event:
                raise RuntimeError(event["error"])
            text = event["choices"][0]["delta"].get("content") if event["choices"] else None
            if text:
                asked.times.append(time.perf_counter())
                asked.text += text
            if event.get("usage"):
                asked.tokens = event["usage"]["completion_tokens"]
    asked.tokens = asked.tokens or len(asked.times)
    return asked


def clients() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=None, limits=httpx.Limits(max_connections=None))


async def crowd(server: Server, count: int, each: int, prompt: int, most: int, usage: bool) -> dict[str, float]:
    """So many clients, each asking so often, one answer after another."""
    async with clients() as client:

        async def one(number: int) -> list[Asked]:
            asked = []
            for turn in range(each):
                text = f"Write a long story. {words(prompt, 100_000 * count + number * each + turn)}"
                asked.append(await stream(client, server, text, most, usage))
            return asked

        begun = time.perf_counter()
        rows = [asked for each_ in await asyncio.gather(*map(one, range(count))) for asked in each_]
        seconds = time.perf_counter() - begun
    firsts = sorted(asked.first for asked in rows if asked.times)
    return {
        "clients": count,
        "answers": len(rows),
        "tokens": sum(asked.tokens for asked in rows),
        "tokens_per_second": round(sum(asked.tokens for asked in rows) / seconds, 1),
        "first_token_p50": round(firsts[len(firsts) // 2], 3),
        "first_token_p99": round(firsts[min(len(firsts) - 1, int(0.99 * len(firsts)))], 3),
    }


_COUNT = "Count from one to one thousand, in words: one, two, three,"  # a stream that goes on


async def gap(server: Server, prompt: int, usage: bool) -> dict[str, float | None]:
    """The longest silence of a stream, alone and while another's long prompt is computed, in milliseconds; None
    where the stream had ended by then."""
    async with clients() as client:
        alone = await stream(client, server, _COUNT, 200, usage)
        running = asyncio.create_task(stream(client, server, _COUNT, 900, usage))
        await asyncio.sleep(0.3)
        other = await stream(client, server, words(prompt, 77), 4, usage)
        beside = await running

    def longest(times: list[float], low: float, high: float) -> float | None:
        inside = [after - before for before, after in pairwise(times) if low <= after <= high]
        return round(1000 * max(inside), 1) if inside else None

    return {
        "prompt": prompt,
        "prompt_seconds": round(other.first, 2),
        "alone_ms": longest(alone.times, 0, float("inf")),
        "beside_ms": longest(beside.times, other.begun, other.times[0]) if other.times else None,
    }
