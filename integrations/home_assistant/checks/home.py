"""A real Home Assistant core without its front end, with switches, an area and this integration."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from homeassistant import auth, bootstrap, config_entries, core, loader
from homeassistant.components.conversation.chat_log import DATA_CHAT_LOGS, ChatLog
from homeassistant.components.homeassistant.exposed_entities import async_expose_entity
from homeassistant.config_entries import ConfigEntry
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import area_registry as ar
from homeassistant.helpers import entity_registry as er
from homeassistant.setup import async_setup_component

DOMAIN = "tinsmith"
SWITCHES = {"kitchen_lamp": "kitchen lamp", "fan": "fan", "radio": "radio", "guest_mode": "guest mode"}
_PARTS = ("homeassistant", "intent", "conversation", "ai_task", "diagnostics", "input_boolean")


@asynccontextmanager
async def home(folder: Path, integration: Path) -> AsyncIterator[core.HomeAssistant]:
    """folder: its configuration. integration: the integration's folder, linked into it as an installation
    is."""
    parts = folder / "custom_components"
    parts.mkdir(parents=True, exist_ok=True)
    if not (parts / DOMAIN).exists():
        (parts / DOMAIN).symlink_to(integration)
    hass = core.HomeAssistant(str(folder))
    hass.config.skip_pip = True
    hass.config.media_dirs = {"local": str(folder)}
    loader.async_setup(hass)
    hass.config_entries = config_entries.ConfigEntries(hass, {})
    await bootstrap.async_load_base_functionality(hass)
    hass.auth = await auth.auth_manager_from_config(hass, [], [])
    hass.set_state(core.CoreState.running)
    config = {"input_boolean": {key: {"name": name} for key, name in SWITCHES.items()}}
    for part in _PARTS:
        assert await async_setup_component(hass, part, config), part
    kitchen = ar.async_get(hass).async_get_or_create("kitchen")
    for key in SWITCHES:
        async_expose_entity(hass, "conversation", f"input_boolean.{key}", key != "guest_mode")
    er.async_get(hass).async_update_entity("input_boolean.kitchen_lamp", area_id=kitchen.id)
    try:
        yield hass
    finally:
        await hass.async_stop(force=True)


async def set_up(hass: core.HomeAssistant, step: str, given: dict[str, Any]) -> Any:
    """Through the config flow, as its page does it. The entry; or the flow's result where it refuses."""
    flows = hass.config_entries.flow
    begun = await flows.async_init(DOMAIN, context={"source": config_entries.SOURCE_USER})
    assert begun["type"] is FlowResultType.MENU
    form = await flows.async_configure(begun["flow_id"], {"next_step_id": step})
    assert form["type"] is FlowResultType.FORM
    result = await flows.async_configure(form["flow_id"], given)
    if result["type"] is not FlowResultType.CREATE_ENTRY:
        flows.async_abort(result["flow_id"])
        return result
    await hass.async_block_till_done()
    return result["result"]


async def choose(hass: core.HomeAssistant, entry: ConfigEntry, **options: Any) -> None:
    """Sets options by the options flow. Others stay, and None empties a field."""
    form = await hass.config_entries.options.async_init(entry.entry_id)
    given = {name: value for name, value in {**entry.options, **options}.items() if value is not None}
    await hass.config_entries.options.async_configure(form["flow_id"], given)
    await hass.async_block_till_done()


def entity(hass: core.HomeAssistant, entry: ConfigEntry, domain: str) -> str:
    """The entry's entity of a domain."""
    known = er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id)
    return next(one.entity_id for one in known if one.domain == domain)


def speech(reply: dict[str, Any]) -> str:
    return str(reply["response"]["speech"]["plain"]["speech"])


async def say(
    hass: core.HomeAssistant, entry: ConfigEntry, text: str, conversation: str | None = None
) -> dict[str, Any]:
    """What the service conversation.process replies; in a conversation that goes on, where one is named."""
    given = {"agent_id": entity(hass, entry, "conversation"), "text": text, "language": "en"}
    if conversation is not None:
        given["conversation_id"] = conversation
    reply = await hass.services.async_call(
        "conversation", "process", given, blocking=True, return_response=True
    )
    return dict(reply)


def log_of(hass: core.HomeAssistant, reply: dict[str, Any]) -> ChatLog:
    """The log of the conversation that a reply came in."""
    return hass.data[DATA_CHAT_LOGS][reply["conversation_id"]]


async def chosen(
    hass: core.HomeAssistant, entry: ConfigEntry, instructions: str, structure: dict[str, Any] | None
) -> dict[str, Any]:
    """What the service ai_task.generate_data replies."""
    given = {"entity_id": entity(hass, entry, "ai_task"), "task_name": "check", "instructions": instructions}
    if structure is not None:
        given["structure"] = structure
    reply = await hass.services.async_call(
        "ai_task", "generate_data", given, blocking=True, return_response=True
    )
    return dict(reply)


def refused(result: Any) -> str:
    """What the config flow's form says was wrong."""
    assert isinstance(result, dict), f"it was taken: {result}"
    assert result["errors"] == {"base": "cannot_open"}, result
    return str(result["description_placeholders"]["reason"])
