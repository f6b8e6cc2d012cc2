"""Home Assistant's own tools as constraints: a call can name only exposed entities of this home."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from homeassistant.components.homeassistant import async_should_expose
from homeassistant.core import HomeAssistant
from homeassistant.helpers import (
    area_registry as ar,
)
from homeassistant.helpers import (
    device_registry as dr,
)
from homeassistant.helpers import (
    entity_registry as er,
)
from homeassistant.helpers import (
    floor_registry as fr,
)
from homeassistant.helpers import (
    intent,
    llm,
)
from voluptuous_openapi import convert

# "Nothing of the house's business": Home Assistant's own intent, which its API for models leaves out.
NOTHING = intent.INTENT_NEVERMIND
# How calls of `examples/home` and house/ are written, and so what models were trained to write.
_ORDER = (
    *("name", "area", "floor", "domain", "device_class", "state", "item", "message", "search_query"),
    *("media_class", "brightness", "color", "temperature", "fan_mode", "percentage", "position"),
    *("volume_level", "volume_step", "hours", "minutes", "seconds"),
)
# A call without one of these would be for every device there is.
_PLACES = ("name", "area", "floor")


def offered(hass: HomeAssistant, api: llm.APIInstance, *, nothing: bool) -> list[dict[str, Any]]:
    """The tools in OpenAI's shape. nothing: with one more, for what is none of them."""
    words = _words(hass, api.llm_context.assistant)
    tools = [_tool(tool.name, tool.description, _shape(tool, api, words)) for tool in api.tools]
    empty = {"type": "object", "properties": {}, "additionalProperties": False}
    return [*tools, _tool(NOTHING, "Not for the house", empty)] if nothing else tools


def closed(schema: Any) -> Any:
    """A JSON Schema whose objects have no keys but their own."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    if made.get("type") == "object" and isinstance(made.get("properties"), dict):
        made.setdefault("additionalProperties", False)
    return made


def _tool(name: str, description: str | None, parameters: dict[str, Any]) -> dict[str, Any]:
    function = {"name": name, "description": description or "", "parameters": parameters}
    return {"type": "function", "function": function}


def _shape(tool: llm.Tool, api: llm.APIInstance, words: dict[str, list[str]]) -> dict[str, Any]:
    """A tool's arguments: names, areas, floors and domains are those of the house; what it has none of is left
    out."""
    given = closed(convert(tool.parameters, custom_serializer=api.custom_serializer))
    properties = given.get("properties", {})
    place = isinstance(tool, llm.IntentTool | llm.NamespacedTool) and set(_PLACES) <= set(properties)
    made = {}
    for name in sorted(properties, key=lambda one: _ORDER.index(one) if one in _ORDER else len(_ORDER)):
        if not place or name not in words:
            made[name] = properties[name]
        elif words[name]:
            made[name] = {"type": "string", "enum": words[name]}
    required = [name for name in made if name in given.get("required", ())]
    shape: dict[str, Any] = {"type": "object", "properties": made, "additionalProperties": False}
    return shape | ({"required": required} if required else {})


def _words(hass: HomeAssistant, assistant: str | None) -> dict[str, list[str]]:
    """What calls may name: of the entities that are exposed, and of where they stand."""
    entities, areas, floors = er.async_get(hass), ar.async_get(hass), fr.async_get(hass)
    found: dict[str, dict[str, None]] = {name: {} for name in (*_PLACES, "domain")}
    for state in hass.states.async_all():
        if assistant is not None and not async_should_expose(hass, assistant, state.entity_id):
            continue
        entry = entities.async_get(state.entity_id)
        _add(found["name"], state.name, entry.aliases if entry else ())
        _add(found["domain"], state.domain)
        area = areas.async_get_area(area_id) if (area_id := _area_of(hass, entry)) else None
        if area is None:
            continue
        _add(found["area"], area.name, area.aliases)
        if area.floor_id and (floor := floors.async_get_floor(area.floor_id)):
            _add(found["floor"], floor.name, floor.aliases)
    return {name: sorted(values) for name, values in found.items()}


def _add(to: dict[str, None], name: str, aliases: Iterable[str] = ()) -> None:
    to |= dict.fromkeys((name, *aliases))


def _area_of(hass: HomeAssistant, entry: er.RegistryEntry | None) -> str | None:
    if entry is None:
        return None
    device = dr.async_get(hass).async_get(entry.device_id) if entry.device_id else None
    return entry.area_id or (device.area_id if device else None)
