"""Checks of a home with its own model: commands, data, limits, unloading; by a file and by a server."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from home import choose, chosen, log_of, refused, say, set_up, speech
from homeassistant.components.conversation import AssistantContent
from homeassistant.config_entries import ConfigEntry, ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import llm
from homeassistant.loader import async_get_integration

import tinsmith

LAMP, FAN, GUEST = "input_boolean.kitchen_lamp", "input_boolean.fan", "input_boolean.guest_mode"
KEY = "a-key-of-a-house-with-a-garden"
STRUCTURE = {
    "room": {"required": True, "selector": {"select": {"options": ["kitchen", "hall", "garden"]}}},
    "watts": {"required": True, "selector": {"number": {"min": 0, "max": 100, "step": 1}}},
    "urgent": {"required": True, "selector": {"boolean": {}}},
    "why": {"selector": {"text": {}}, "description": "in three words"},
}


@dataclass
class House:
    """file: of the home's own model. talker: of a chat model. program: tinsmith with the extra `serve`."""

    hass: HomeAssistant
    file: Path
    talker: Path
    work: Path
    program: Path

    def state(self, name: str) -> str:
        state = self.hass.states.get(name)
        assert state is not None, name
        return str(state.state)

    async def commanded(self, entry: ConfigEntry) -> None:
        """Switches what is exposed, and nothing else."""
        before = self.state(FAN)
        reply = await say(self.hass, entry, "turn on the kitchen lamp")
        assert self.state(LAMP) == "on", reply
        assert speech(reply) == "Turned on the switch", reply
        assert reply["response"]["response_type"] == "action_done"
        answer = log_of(self.hass, reply).content[2].native
        python = tinsmith.load(self.file).chat([{"role": "user", "content": "turn on the kitchen lamp"}])
        assert answer.text in ("", python.text), (answer.text, python.text)
        made = {"name": answer.calls[0].name, "arguments": answer.calls[0].arguments}
        assert made == json.loads(python.text), (made, python.text)
        await say(self.hass, entry, "Please switch the kitchen lamp off.")
        assert self.state(LAMP) == "off"
        reply = await say(self.hass, entry, "tell me a joke")
        assert reply["response"]["data"] == {"code": "no_intent_match"}, reply
        reply = await say(self.hass, entry, "turn on guest mode")
        assert reply["response"]["response_type"] == "error", reply
        assert (self.state(GUEST), self.state(FAN)) == ("off", before), "what was not meant was switched"

    async def command(self) -> None:
        entry = await set_up(self.hass, "file", {"file": str(self.file)})
        assert entry.options["trained"] is True, "the file's own tools were not seen"
        await self.commanded(entry)
        assert await self.hass.config_entries.async_remove(entry.entry_id)

    async def tools(self) -> None:
        """A model without this training is constrained to the calls that this home allows."""
        entry = await set_up(self.hass, "file", {"file": str(self.talker)})
        await choose(self.hass, entry, trained=True, unconstrained=True, prompt="Switch what is asked for.")
        await say(self.hass, entry, "turn on the fan")
        (log,) = (one for one in self.logs() if "turn on the fan" in str(one.content))
        answer = log.content[2].native
        parameters = {"HassTurnOn", "HassTurnOff", "HassCancelAllTimers", "GetDateTime", "GetLiveContext"}
        assert answer.calls[0].name in {*parameters, "HassNevermind"}, answer
        names = {"kitchen lamp", "fan", "radio", None}
        assert answer.calls[0].arguments.get("name") in names, answer
        await self.hass.services.async_call(
            "input_boolean", "turn_off", {"entity_id": [LAMP, FAN, "input_boolean.radio"]}, blocking=True
        )
        assert await self.hass.config_entries.async_remove(entry.entry_id)

    def logs(self) -> list[Any]:
        from homeassistant.components.conversation.chat_log import DATA_CHAT_LOGS

        return list(self.hass.data[DATA_CHAT_LOGS].values())

    async def talk(self) -> None:
        """A chat model gets the tools, and the results of its calls."""
        entry = await set_up(self.hass, "file", {"file": str(self.talker)})
        await choose(self.hass, entry, context=4096, max_tokens=12)
        reply = await say(self.hass, entry, "Hello!")
        assert reply["response"]["response_type"] == "action_done", reply
        log = log_of(self.hass, reply)
        called = AssistantContent(agent_id="", tool_calls=[llm.ToolInput("GetDateTime", {})])
        (result,) = [one async for one in log.async_add_assistant_content(called)]
        assert "date" in str(result.tool_result), result
        messages = import_module("custom_components.tinsmith.messages").of_log(log)
        assert [one["role"] for one in messages[-2:]] == ["assistant", "tool"], messages
        question = import_module("custom_components.tinsmith.engine").Question(
            messages, unconstrained=True, max_tokens=4
        )
        assert (await entry.runtime_data.ask(question)).receipt
        assert await self.hass.config_entries.async_remove(entry.entry_id)

    async def data(self) -> None:
        """An AI task's structure constrains the answer; unsupported schemas are rejected with their
        position."""
        entry = await set_up(self.hass, "file", {"file": str(self.talker)})
        made = (await chosen(self.hass, entry, "The hall's lamp is broken, please hurry.", STRUCTURE))["data"]
        assert set(made) in ({"room", "watts", "urgent"}, {"room", "watts", "urgent", "why"}), made
        assert made["room"] in ("kitchen", "hall", "garden"), made
        assert 0 <= made["watts"] <= 100, made
        assert isinstance(made["urgent"], bool), made
        text = (await chosen(self.hass, entry, "Say hello.", None))["data"]
        assert isinstance(text, str), text
        await choose(self.hass, entry, max_tokens=3)
        message = await fails(chosen(self.hass, entry, "The hall's lamp is broken.", STRUCTURE))
        assert "max_tokens" in message, message
        assert await self.hass.config_entries.async_remove(entry.entry_id)

    async def limits(self) -> None:
        """A timeout is an error, and frees the thread for the next question."""
        entry = await set_up(self.hass, "file", {"file": str(self.talker)})
        patient = {
            **entry.options,
            "trained": True,
            "llm_hass_api": [],
            "unconstrained": True,
            "max_tokens": 1500,
        }
        self.hass.config_entries.async_update_entry(entry, options={**patient, "timeout": 0.2})
        assert await self.hass.config_entries.async_reload(entry.entry_id)
        reply = await say(self.hass, entry, "Tell me all that you know of the sea. " * 60)
        assert reply["response"]["response_type"] == "error", reply
        assert "no answer within 0.2 s" in speech(reply), reply
        await choose(self.hass, entry, timeout=60, max_tokens=4)
        assert speech(await say(self.hass, entry, "Say hello."))
        assert await self.hass.config_entries.async_remove(entry.entry_id)

    async def files(self) -> None:
        """Rejects a file that is no tin, retries a missing one, and accepts a new path."""
        other, copy = self.work / "other.tin", self.work / "moved.tin"
        other.write_text("this is no model")
        assert "other.tin" in refused(await set_up(self.hass, "file", {"file": str(other)}))
        copy.write_bytes(self.file.read_bytes())
        entry = await set_up(self.hass, "file", {"file": str(copy)})
        entries = self.hass.config_entries
        copy.rename(self.work / "away.tin")
        await entries.async_reload(entry.entry_id)
        assert entry.state is ConfigEntryState.SETUP_RETRY, entry.state
        assert "moved.tin" in str(entry.reason), entry.reason
        flow = await entries.flow.async_init(
            "tinsmith", context={"source": "reconfigure", "entry_id": entry.entry_id}
        )
        await entries.flow.async_configure(flow["flow_id"], {"file": str(self.work / "away.tin")})
        await self.hass.async_block_till_done()
        assert entry.state is ConfigEntryState.LOADED, entry.state
        assert await entries.async_remove(entry.entry_id)

    async def unload(self) -> None:
        """Reloading frees the model, its memory and its thread."""
        entry = await set_up(self.hass, "file", {"file": str(self.file)})
        for _ in range(5):
            held = weakref.ref(entry.runtime_data._answerer.model)
            await say(self.hass, entry, "turn on the fan")
            assert await self.hass.config_entries.async_reload(entry.entry_id)
            gc.collect()
            assert held() is None, "the model is still held after the entry was unloaded"
            assert threads() == 1, threads()
        assert await self.hass.config_entries.async_remove(entry.entry_id)
        assert threads() == 0, threads()

    async def reports(self) -> None:
        entry = await set_up(self.hass, "file", {"file": str(self.file)})
        integration = await async_get_integration(self.hass, "tinsmith")
        diagnostics = await integration.async_get_platform("diagnostics")
        told = await diagnostics.async_get_config_entry_diagnostics(self.hass, entry)
        assert told["model"]["conversation_bytes"] > 0, told
        assert told["model"]["isa"] == tinsmith.load(self.file).info.isa, told
        json.dumps(told)
        assert await self.hass.config_entries.async_remove(entry.entry_id)

    async def server(self) -> None:
        """The same with `tinsmith serve`: equal answers, its errors, and its absence."""
        keys = self.work / "keys"
        keys.write_text(f"{KEY}\n")
        with served(self.program, self.file, keys) as url:
            wrong = await set_up(self.hass, "server", {"url": url, "api_key": "not-the-key-of-this-house"})
            assert "401" in refused(wrong), refused(wrong)
            none = await set_up(self.hass, "server", {"url": url, "api_key": KEY, "model": "garage"})
            assert "garage" in refused(none), refused(none)
            entry = await set_up(self.hass, "server", {"url": url, "api_key": KEY})
            await self.commanded(entry)
            far = log_of(self.hass, await say(self.hass, entry, "turn off the fan")).content[2].native
        assert "does not answer" in speech(await say(self.hass, entry, "turn on the fan"))
        await self.hass.config_entries.async_reload(entry.entry_id)
        assert entry.state is ConfigEntryState.SETUP_RETRY, entry.state
        near = await set_up(self.hass, "file", {"file": str(self.file)})
        here = log_of(self.hass, await say(self.hass, near, "turn off the fan")).content[2].native
        assert (here.text, here.receipt) == (far.text, far.receipt), "the server answers otherwise"
        for one in (entry, near):
            assert await self.hass.config_entries.async_remove(one.entry_id)


def threads() -> int:
    return sum(thread.name.startswith("tinsmith") for thread in threading.enumerate())


async def fails(asking: Any) -> str:
    """What Home Assistant says that was wrong."""
    try:
        result = await asyncio.wait_for(asking, 120)
    except HomeAssistantError as error:
        return str(error)
    raise AssertionError(f"no error: {result}")


@contextmanager
def served(program: Path, file: Path, keys: Path) -> Iterator[str]:
    """The address of a server on the loopback."""
    command = [program, "serve", file, "--port", "0", "--api-key-file", keys]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        try:
            assert "http://127.0.0.1" in line, line
            yield line.split()[-1]
        finally:
            process.terminate()
            process.wait(30)
