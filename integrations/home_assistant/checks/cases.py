"""Ten of the cases of integrations/conformance in the form that fits a home: by its flows and services, against
what Python answers in this process."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from home import choose, chosen, entity, log_of, refused, say, set_up, speech
from homeassistant.config_entries import ConfigEntry, ConfigEntryState
from homeassistant.core import HomeAssistant
from python_answers import answered

import tinsmith


@dataclass
class Cases:
    """What all cases share. python: the file opened by Python alone."""

    hass: HomeAssistant
    tins: Path
    told: dict[str, Any] = field(init=False)
    python: tinsmith.Model = field(init=False)
    entry: ConfigEntry = field(init=False)

    async def begin(self) -> None:
        self.told = json.loads((self.tins / "cases.json").read_text())
        self.file = self.tins / self.told["files"]["plain"]
        self.python = tinsmith.load(self.file)
        self.entry = await set_up(self.hass, "file", {"file": str(self.file)})

    def case(self, name: str) -> dict[str, Any]:
        return next(one for one in self.told["cases"] if one["name"] == name)

    async def asked(self, case: dict[str, Any], expect: str = "expect", **options: Any) -> None:
        """The case's last message said to the agent, which is asked it under the first as it is."""
        system, user = case["messages"]
        given = {"trained": True, "llm_hass_api": [], "context": 512, "max_tokens": case["max_tokens"]}
        await choose(self.hass, self.entry, prompt=system["content"], **given, **options)
        reply = await say(self.hass, self.entry, user["content"])
        assert speech(reply) == case[expect]["text"], f"{speech(reply)!r} is not {case[expect]['text']!r}"
        _, digest, receipt = answered(self.python, case["messages"], case["max_tokens"], **options)
        assert digest == case[expect]["digest"], "Python itself answers otherwise"
        made = log_of(self.hass, reply).content[-1].native
        assert made.receipt == receipt, "the receipt is not Python's"

    async def answer(self) -> None:
        await self.asked(self.case("answer"))

    async def unconstrained(self) -> None:
        case = self.case("unconstrained")
        given = dict(case["sampling"])
        given["repetition_penalty"] = given.pop("repetition")
        await self.asked(case, unconstrained=True, **given)
        await choose(
            self.hass, self.entry, unconstrained=False, temperature=0, top_p=1, repetition_penalty=1, seed=0
        )

    async def adapter(self) -> None:
        case = self.case("adapter")
        await self.asked(case, adapter=case["adapter"])
        await self.asked(case, "then", adapter=None)

    async def choose(self) -> None:
        """One of the options, by an AI task."""
        case = self.case("choose")
        structure = {"what": {"required": True, "selector": {"select": {"options": case["options"]}}}}
        made = await chosen(self.hass, self.entry, case["messages"][-1]["content"], structure)
        schema = {"type": "object", "properties": {"what": {"type": "string", "enum": case["options"]}}}
        schema |= {"required": ["what"], "additionalProperties": False}
        system, user = self.case("answer")["messages"]
        asked = [user] if self.entry.options["trained"] else [system, user]
        want = self.python.json(asked, schema)
        assert made["data"] == want, f"{made['data']} is not {want}"

    async def budget(self) -> None:
        """Home Assistant's loop goes on while the model answers."""
        turns = 0

        async def turning() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0.0005)
                turns += 1

        task = asyncio.create_task(turning())
        await self.asked(self.case("budget"))
        task.cancel()
        assert turns > 5, f"the loop had {turns} turns while the model answered"

    async def cancel(self) -> None:
        case = self.case("cancel")
        running = asyncio.create_task(say(self.hass, self.entry, case["messages"][-1]["content"] + " Now!"))
        await asyncio.sleep(0.01)
        assert running.cancel(), "the answer was complete before it was cancelled"
        assert isinstance((await asyncio.gather(running, return_exceptions=True))[0], asyncio.CancelledError)
        await self.asked(case)

    async def restore(self) -> None:
        """A conversation goes on after the entry was reloaded, with all that it had computed gone."""
        case = self.case("restore")
        prompt = case["messages"][0]["content"]
        await choose(self.hass, self.entry, trained=False, prompt=prompt, max_tokens=24)
        reply = await say(self.hass, self.entry, case["messages"][-1]["content"])
        assert await self.hass.config_entries.async_reload(self.entry.entry_id)
        again = await say(self.hass, self.entry, case["next"], reply["conversation_id"])
        content = log_of(self.hass, again).content
        messages = [{"role": one.role, "content": one.content} for one in content[:-1]]
        assert [one["role"] for one in messages] == ["system", "user", "assistant", "user"]
        ours, _, receipt = answered(self.python, messages, 24)
        assert content[-1].content == ours.text, f"{content[-1].content!r} is not {ours.text!r}"
        assert content[-1].native.receipt == receipt, "the receipt is not Python's"

    async def missing(self) -> None:
        case = self.case("missing")
        result = await set_up(self.hass, "file", {"file": str(self.tins / case["file"])})
        assert case["expect"]["says"] in refused(result), refused(result)

    async def key(self) -> None:
        case, keys = self.case("key"), self.told["keys"]
        wrong, right = (Path(case[name]).stem for name in ("wrong", "right"))
        copy = self.tins / "signed.tin"  # the same file twice is refused as set up already
        for suffix in ("", ".minisig"):
            (self.tins / f"signed.tin{suffix}").unlink(missing_ok=True)
            (self.tins / f"signed.tin{suffix}").hardlink_to(f"{self.file}{suffix}")
        result = await set_up(self.hass, "file", {"file": str(copy), "signed_by": keys[wrong]})
        assert copy.name in refused(result), refused(result)
        entry = await set_up(self.hass, "file", {"file": str(copy), "signed_by": keys[right]})
        assert entry.state is ConfigEntryState.LOADED
        assert entity(self.hass, entry, "conversation")
        assert await self.hass.config_entries.async_remove(entry.entry_id)

    async def memory(self) -> None:
        await choose(self.hass, self.entry, most_memory=1)
        assert self.entry.state is ConfigEntryState.SETUP_ERROR, self.entry.state
        assert "1,048,576" in str(self.entry.reason), self.entry.reason
        await choose(self.hass, self.entry, most_memory=0)
        assert self.entry.state is ConfigEntryState.LOADED
