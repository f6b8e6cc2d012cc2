"""tinsmith: a small local language model, in this process or from a `tinsmith serve`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import CONF_API_KEY, CONF_URL
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ConfigEntryError, ConfigEntryNotReady
from homeassistant.helpers import config_validation as cv

from .const import (
    CONF_CONTEXT,
    CONF_FILE,
    CONF_MODEL,
    CONF_MOST_MEMORY,
    CONF_SIGNED_BY,
    CONF_THREADS,
    DEFAULTS,
    DOMAIN,
    PLATFORMS,
)
from .engine import Engine, EngineError
from .local import Local
from .remote import Remote

CONFIG_SCHEMA = cv.config_entry_only_config_schema(DOMAIN)

TinsmithConfigEntry = ConfigEntry[Engine]


async def open_engine(hass: HomeAssistant, data: Mapping[str, Any], options: Mapping[str, Any]) -> Engine:
    """What an entry is of. Raises EngineError."""
    if CONF_URL in data:
        return await Remote.open(hass, data[CONF_URL], data.get(CONF_API_KEY), data.get(CONF_MODEL))
    chosen = {**DEFAULTS, **options}
    return await Local.open(
        data[CONF_FILE],
        data.get(CONF_SIGNED_BY),
        int(chosen[CONF_CONTEXT]),
        int(chosen[CONF_THREADS]),
        int(chosen[CONF_MOST_MEMORY]) << 20,
    )


async def async_setup_entry(hass: HomeAssistant, entry: TinsmithConfigEntry) -> bool:
    """Opens the engine; Home Assistant retries temporary failures."""
    try:
        entry.runtime_data = await open_engine(hass, entry.data, entry.options)
    except EngineError as error:
        raise (ConfigEntryError if error.lasting else ConfigEntryNotReady)(str(error)) from error
    await hass.config_entries.async_forward_entry_setups(entry, PLATFORMS)
    return True


async def async_unload_entry(hass: HomeAssistant, entry: TinsmithConfigEntry) -> bool:
    """Frees the file and its memory."""
    if not await hass.config_entries.async_unload_platforms(entry, PLATFORMS):
        return False
    await entry.runtime_data.close()
    return True
