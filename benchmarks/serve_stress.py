"""Many clients that behave badly, and whether every answer is right all the same.

A client asks, streams, asks for a schema, leaves in the middle, gives up at once, sends what is no JSON or is
not supported. Each whole answer must be that of the model alone.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import httpx
from serving import Server, clients, stream, words

import tinsmith

SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 999}},
    "required": ["n"],
}
FORM = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
BROKEN = (
    b"{",
    b"",
    b"[" * 500,
    b'{"model": "other"}',
    b'{"messages": []}',
    b"\xff\xfe",
    b'{"model": 1, "n": 1e999}',
)
KINDS = ("whole", "stream", "form", "leave", "hurry", "broken", "unsupported")


class Stress:
    """prompts: of which each is asked often. most: tokens of an answer."""

    def __init__(self, server: Server, file: str, prompts: int, most: int) -> None:
        self.server, self.most = server, most
        self.prompts = [words(12, seed) for seed in range(prompts)]
        model = tinsmith.load(file)
        made = tinsmith.schema(SCHEMA)
        asked = [[{"role": "user", "content": prompt}] for prompt in self.prompts]
        self.right = [model.chat(one, max_tokens=most).content for one in asked]
        self.formed = [model.chat(one, max_tokens=most, constraint=made).content for one in asked]
        self.counts: Counter[str] = Counter()

    async def run(self, clients_: int, requests: int) -> dict[str, Any]:
        before = self.server.memory
        left = iter(range(requests))

        async def one(number: int) -> None:
            # A pool of its own: httpx gives one idle connection to all that wait in a shared one, and whoever
            # loses that race again and again waits for minutes, with a server that has nothing to do.
            chance = random.Random(number)
            async with clients() as client:
                for _ in left:
                    await self._ask(client, chance)

        await asyncio.gather(*map(one, range(clients_)))
        half = self.server.memory
        async with clients() as client:
            for _ in range(600):
                told = (await client.get(f"{self.server.url}/metrics")).text
                busy = [
                    line
                    for line in told.splitlines()
                    if line.startswith(("tinsmith_running", "tinsmith_waiting"))
                ]
                if all(line.endswith(" 0") for line in busy):
                    break
                await asyncio.sleep(0.1)
            else:
                self.counts["hung"] += 1
            if (await client.get(f"{self.server.url}/health")).status_code != 200:
                self.counts["unhealthy"] += 1
        return {
            "requests": requests,
            "clients": clients_,
            **self.counts,
            "wrong": self.counts["wrong"],
            "hung": self.counts["hung"],
            "memory_before": before,
            "memory_after": half,
        }

    async def _ask(self, client: httpx.AsyncClient, chance: random.Random) -> None:
        kind, number = chance.choice(KINDS), chance.randrange(len(self.prompts))
        try:
            async with asyncio.timeout(120):
                outcome = await getattr(self, f"_{kind}")(client, number, chance)
        except TimeoutError:
            outcome = "hung"
        except httpx.TransportError as error:
            outcome = f"transport {type(error).__name__}"
        self.counts[f"{kind} {outcome}"] += 1
        if outcome in ("wrong", "hung"):
            self.counts[outcome] += 1

    def _body(self, number: int, **more: Any) -> dict[str, Any]:
        messages = [{"role": "user", "content": self.prompts[number]}]
        return {"model": self.server.model, "messages": messages, "max_tokens": self.most, **more}

    async def _post(self, client: httpx.AsyncClient, **given: Any) -> httpx.Response:
        return await client.post(f"{self.server.url}/v1/chat/completions", **given)

    async def _whole(self, client: httpx.AsyncClient, number: int, _: random.Random, **more: Any) -> str:
        said = await self._post(client, json=self._body(number, **more))
        if said.status_code in (429, 503):
            return "refused" if int(said.headers["retry-after"]) else "wrong"
        if said.status_code != 200:
            return "wrong"
        wanted = self.formed if more else self.right
        return "right" if said.json()["choices"][0]["message"]["content"] == wanted[number] else "wrong"

    async def _form(self, client: httpx.AsyncClient, number: int, chance: random.Random) -> str:
        return await self._whole(client, number, chance, response_format=FORM)

    async def _stream(self, client: httpx.AsyncClient, number: int, _: random.Random) -> str:
        asked = await stream(client, self.server, self.prompts[number], self.most, True)
        if not asked.times and self.right[number]:
            return "refused"
        return "right" if asked.text == self.right[number] else "wrong"

    async def _leave(self, client: httpx.AsyncClient, number: int, chance: random.Random) -> str:
        body, pieces = self._body(number, stream=True), chance.randrange(4)
        async with client.stream("POST", f"{self.server.url}/v1/chat/completions", json=body) as response:
            async for _ in response.aiter_lines():
                if pieces == 0:
                    break
                pieces -= 1
        return "left"

    async def _hurry(self, client: httpx.AsyncClient, number: int, chance: random.Random) -> str:
        try:
            async with asyncio.timeout(chance.uniform(0, 0.05)):
                await self._post(client, json=self._body(number))
        except TimeoutError:
            return "gave up"
        return "answered"

    async def _broken(self, client: httpx.AsyncClient, _: int, chance: random.Random) -> str:
        said = await self._post(client, content=chance.choice(BROKEN))
        return "refused" if said.status_code in (400, 404) else "wrong"

    async def _unsupported(self, client: httpx.AsyncClient, number: int, _: random.Random) -> str:
        said = await self._post(client, json=self._body(number, audio={"voice": "x"}))
        return "refused" if said.status_code == 400 and "audio" in said.text else "wrong"
