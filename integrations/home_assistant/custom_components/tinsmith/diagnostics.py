"""Diagnostics for bug reports: software and settings, without keys, addresses or messages."""

from __future__ import annotations

from typing import Any

from homeassistant.components.diagnostics import async_redact_data
from homeassistant.const import CONF_API_KEY, CONF_PROMPT, CONF_URL
from homeassistant.core import HomeAssistant

from . import TinsmithConfigEntry

_HIDDEN = {CONF_API_KEY, CONF_PROMPT, CONF_URL}


async def async_get_config_entry_diagnostics(hass: HomeAssistant, entry: TinsmithConfigEntry) -> dict[str, Any]:
    facts = entry.runtime_data.facts
    return {
        "data": async_redact_data(entry.data, _HIDDEN),
        "options": async_redact_data(entry.options, _HIDDEN),
        "model": {"name": facts.name, "adapters": facts.adapters, "own_calls": facts.own_calls, **facts.told},
    }
