"""Shared by the conversation agent and the AI task: options, time limits, their device."""

from __future__ import annotations

import asyncio
from typing import Any

from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.device_registry import DeviceEntryType, DeviceInfo
from homeassistant.helpers.entity import Entity

from . import TinsmithConfigEntry
from .const import (
    CONF_ADAPTER,
    CONF_MAX_TOKENS,
    CONF_REPETITION,
    CONF_SEED,
    CONF_TEMPERATURE,
    CONF_TIMEOUT,
    CONF_TOP_P,
    CONF_TRAINED,
    CONF_UNCONSTRAINED,
    DEFAULTS,
    DOMAIN,
)
from .engine import Answer, Question


class TinsmithEntity(Entity):
    _attr_has_entity_name = True

    def __init__(self, entry: TinsmithConfigEntry, kind: str) -> None:
        self.engine = entry.runtime_data
        self.options: dict[str, Any] = {**DEFAULTS, **entry.options}
        self._attr_unique_id = f"{entry.entry_id}-{kind}"
        self._attr_device_info = DeviceInfo(
            identifiers={(DOMAIN, entry.entry_id)},
            name=entry.title,
            manufacturer="tinsmith",
            model=self.engine.facts.name,
            entry_type=DeviceEntryType.SERVICE,
        )

    @property
    def trained(self) -> bool:
        """Whether the model gets the message alone, as in training."""
        return bool(self.options.get(CONF_TRAINED, self.engine.facts.own_calls))

    async def ask(self, messages: list[dict[str, Any]], **asked: Any) -> Answer:
        """The engine's answer with the entry's options. Raises HomeAssistantError, also for a timeout."""
        limit = self.options[CONF_TIMEOUT]
        question = Question(
            messages,
            adapter=self.options.get(CONF_ADAPTER) or None,
            max_tokens=int(self.options[CONF_MAX_TOKENS]),
            temperature=float(self.options[CONF_TEMPERATURE]),
            top_p=float(self.options[CONF_TOP_P]),
            repetition_penalty=float(self.options[CONF_REPETITION]),
            seed=int(self.options[CONF_SEED]),
            unconstrained=bool(self.options[CONF_UNCONSTRAINED]),
            **asked,
        )
        try:
            async with asyncio.timeout(limit):
                return await self.engine.ask(question)
        except TimeoutError as error:
            raise HomeAssistantError(
                f"no answer within {limit:g} s; the options have the time limit"
            ) from error
