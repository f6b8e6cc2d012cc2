"""Conversations with `tinsmith serve` for hours: memory is flat, and every receipt is that of the same question
computed again. scripts/soak calls it and says how it is used."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

import tinsmith
from tinsmith.runtime.generation import Sampling, TokenRequest
from tinsmith.runtime.receipt import recomputed

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
FIGURES = ROOT / "benchmarks" / "figures" / "soak.json"

SESSIONS, CONTEXT, TURNS = 8, 512, 12
EVERY = 5.0  # seconds from one look at the server's memory to the next
WARM = 0.25  # of a part, at its beginning: caches fill
# How much more memory the last looks of a part may find than the first ones behind WARM.
SLACK, SHARE = 2 << 20, 0.02
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 99}}, "required": ["n"]}
WORDS = ("the", "then", "there", "in", "an", "end", "yes", "no", "thing", "lamp", "42", "\u00e9t\u00e9")


def make_tin(path: Path) -> Path:
    """A tiny model with two adapters."""
    from tests.kernels.test_loader import TEMPLATE
    from tests.models.random_adapters import compiled
    from tests.models.tiny_models import tiny_spec

    from tinsmith import compiler, quant

    sizes = {"hidden_size": 64, "intermediate_size": 96, "max_position_embeddings": CONTEXT}
    spec = quant.apply(replace(tiny_spec("llama", **sizes), chat_template=TEMPLATE), "Q8_0")
    compiler.build_tin(spec, path)
    adapters = {f"adapter/{name}.bin": compiled(path, seed=k) for k, name in enumerate("ab")}
    compiler.build_tin(spec, path, entries=adapters)
    return path


@contextmanager
def serving(tin: Path) -> Iterator[tuple[str, int]]:
    """Its address and process."""
    command = [sys.executable, "-m", "tinsmith", "serve", str(tin), "--port", "0", "--context", str(CONTEXT)]
    log = tin.with_suffix(".log")
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
        try:
            for _ in range(600):
                if found := re.search(r"http://127[\d.]+:\d+", log.read_text("utf-8")):
                    break
                if process.poll() is not None:
                    break
                time.sleep(0.2)
            if not found:
                raise RuntimeError(f"the server did not start: {log.read_text('utf-8')}")
            yield found[0], process.pid
        finally:
            process.terminate()
            process.wait()


def memory(pid: int) -> int:
    """Resident bytes of a process and of those that it started."""
    kilobytes = 0
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    if found := re.search(r"^VmRSS:\s+(\d+)", status, flags=re.M):
        kilobytes = int(found[1])
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("utf-8").split()
    return (kilobytes << 10) + sum(map(memory, map(int, children)))


def growth(looks: Sequence[int]) -> tuple[int, int]:
    """Of memory, at each look: what the first of the steady looks found, and how much more the last. Medians
    of a quarter of them each, since what is freed is not given back at once."""
    steady = looks[int(len(looks) * WARM) :]
    quarter = max(len(steady) // 4, 1)
    first, last = statistics.median(steady[:quarter]), statistics.median(steady[-quarter:])
    return int(first), int(last - first)


def course(looks: Sequence[int]) -> list[int]:
    """Medians of ten parts of it, in KiB: whether what grew goes on growing."""
    parts = [looks[len(looks) * k // 10 : len(looks) * (k + 1) // 10] for k in range(10)]
    return [int(statistics.median(part)) >> 10 for part in parts if part]


def flat(first: int, grown: int) -> bool:
    return grown <= SLACK + SHARE * first


async def lines_of(response: httpx.Response) -> AsyncIterator[bytes]:
    """Those of an event stream. httpx's own also end at separators of Unicode, which a text may have."""
    rest = b""
    async for data in response.aiter_bytes():
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield line


@dataclass
class Soak:
    """left: asked and answered, to be computed again."""

    url: str
    pid: int
    model: Any
    until: float
    counts: Counter[str] = field(default_factory=Counter)
    left: list[tuple[TokenRequest, str]] = field(default_factory=list)
    looks: list[int] = field(default_factory=list)

    async def run(self, seed: int) -> None:
        talks = [self.talk(random.Random(seed * SESSIONS + k)) for k in range(SESSIONS)]
        watching = [asyncio.create_task(one) for one in (self.look(), self.replay())]
        await asyncio.gather(*talks)
        await asyncio.gather(*watching)

    async def look(self) -> None:
        while time.monotonic() < self.until:
            self.looks.append(memory(self.pid))
            await asyncio.sleep(EVERY)

    async def replay(self) -> None:
        """Beside the answering, a batch at a time; and what is left at the end."""
        while self.left or time.monotonic() < self.until:
            batch, self.left = self.left[:64], self.left[64:]
            if batch:
                await asyncio.to_thread(self.compare, batch)
            else:
                await asyncio.sleep(0.1)

    def compare(self, batch: list[tuple[TokenRequest, str]]) -> None:
        again = recomputed(self.model, [asked for asked, _ in batch])
        for (_, digest), (_, receipt) in zip(batch, again, strict=True):
            self.counts["receipts"] += 1
            self.counts["unequal"] += receipt.digest != digest

    async def talk(self, chance: random.Random) -> None:
        """Conversations, one after the other."""
        async with httpx.AsyncClient(timeout=300) as client:
            while time.monotonic() < self.until:
                adapter = chance.choice((None, "a", "b"))
                messages: list[dict[str, str]] = []
                for _ in range(chance.randrange(1, TURNS)):
                    said = " ".join(chance.choices(WORDS, k=chance.randrange(1, 9)))
                    messages.append({"role": "user", "content": said})
                    room = CONTEXT - len(self.model.render(messages, adapter=adapter))
                    if room < 64 or time.monotonic() > self.until:
                        break
                    answer = await self.ask(client, chance, adapter, messages)
                    if answer is None:
                        break
                    messages.append({"role": "assistant", "content": answer})
                while len(self.left) > 1000:  # computing again is behind
                    await asyncio.sleep(0.1)

    async def ask(
        self, client: httpx.AsyncClient, chance: random.Random, adapter: str | None, messages: list[Any]
    ) -> str | None:
        """The answer; None where it was left or failed."""
        temperature, seed = chance.choice((0.0, 0.7, 1.3)), chance.randrange(1 << 31)
        limit, form = chance.randrange(1, 48), chance.random() < 0.2
        body: dict[str, Any] = {"model": f"soak:{adapter}" if adapter else "soak", "messages": messages}
        body |= {"max_tokens": limit, "temperature": temperature, "seed": seed}
        if form:
            body["response_format"] = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
        self.counts["requests"] += 1
        way = chance.random()
        if way < 0.3:
            answer, digest = await self._streamed(client, body, leave=way < 0.05)
            if digest is None:
                return None
        else:
            response = await client.post(f"{self.url}/v1/chat/completions", json=body)
            if response.status_code != 200:
                self.fail(response)
                return None
            said = response.json()
            answer, digest = said["choices"][0]["message"]["content"], said["tinsmith"]["receipt"]
            self.counts["tokens"] += said["usage"]["completion_tokens"]
        asked = TokenRequest(
            tokens=self.model.render(messages, adapter=adapter),
            applied=self.model.applied(adapter),
            constraint=tinsmith.schema(SCHEMA) if form else None,
            max_tokens=limit,
            sampling=Sampling(temperature=temperature, seed=seed),
        )
        self.left.append((asked, digest))
        return answer

    def fail(self, response: httpx.Response) -> None:
        self.counts["failed"] += 1
        if self.counts["failed"] <= 5:
            print(f"status {response.status_code}: {response.text[:500]}", file=sys.stderr, flush=True)

    async def _streamed(
        self, client: httpx.AsyncClient, body: dict[str, Any], leave: bool
    ) -> tuple[str, str | None]:
        answer, digest = "", None
        async with client.stream(
            "POST", f"{self.url}/v1/chat/completions", json={**body, "stream": True}
        ) as said:
            if said.status_code != 200:
                await said.aread()
                self.fail(said)
                return "", None
            async for line in lines_of(said):
                if leave:
                    self.counts["left"] += 1
                    return "", None
                if line.startswith(b"data: {"):
                    piece = json.loads(line[6:])
                    for choice in piece["choices"]:
                        answer += choice["delta"].get("content") or ""
                        digest = choice.get("tinsmith", {}).get("receipt", digest)
        self.counts["failed"] += digest is None
        return answer, digest


def soak(minutes: float, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        tin = make_tin(Path(folder) / "soak.tin")
        model = tinsmith.load(str(tin))
        with serving(tin) as (url, pid):
            made = Soak(url, pid, model, time.monotonic() + 60 * minutes)
            asyncio.run(made.run(seed))
    first, grown = growth(made.looks)
    counts = made.counts
    fine = flat(first, grown) and not counts["unequal"] and not counts["failed"] and counts["receipts"] > 0
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "minutes": minutes,
        **{name: counts[name] for name in ("requests", "tokens", "left", "failed", "receipts", "unequal")},
        "memory": first,
        "grown": grown,
        "course": course(made.looks),
        "passed": fine,
    }


def commit() -> str:
    """That which last changed the package or the core; with a + where the tree has further changes of them."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "src", "kernels")
    return git("log", "-1", "--format=%h", "--", "src", "kernels") + ("+" if changed else "")


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/soak")
    parser.add_argument("minutes", nargs="?", type=float, default=120.0, metavar="MINUTES")
    given = parser.parse_args()
    every = json.loads(FIGURES.read_text("utf-8")) if FIGURES.exists() else {}
    parts = every.setdefault(commit(), [])
    part = soak(given.minutes, len(parts))
    parts.append(part)
    FIGURES.parent.mkdir(parents=True, exist_ok=True)
    FIGURES.write_text(json.dumps(every, indent=1) + "\n", "utf-8")
    print(json.dumps(part))
    return 0 if part["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
